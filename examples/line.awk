# A program in another language under greensweep exec: it fits a line by gradient descent.
#
# greensweep exec -- awk -v rate=0.1 -f examples/line.awk
# greensweep exec -m --metric rmse 'rate=tag(log,interval(1e-3,1))' hydra.sweeper.n_trials=10 \
#     -- awk -v rate={rate} -f examples/line.awk

BEGIN {
    srand(7)
    for (i = 0; i < 500; i++) {
        x[i] = rand()
        y[i] = 3 * x[i] + 1 + (rand() - 0.5) / 5
    }
    epochs = 30
    for (epoch = 1; epoch <= epochs; epoch++) {
        slope_gradient = bias_gradient = squares = 0
        for (i = 0; i < 400; i++) {
            error = slope * x[i] + bias - y[i]
            slope_gradient += 2 * error * x[i] / 400
            bias_gradient += 2 * error / 400
        }
        slope -= rate * slope_gradient
        bias -= rate * bias_gradient
        for (i = 400; i < 500; i++) squares += (slope * x[i] + bias - y[i]) ^ 2
        print "GREENSWEEP_METRIC epoch=" epoch, "epochs=" epochs, "rmse=" sqrt(squares / 100)
        fflush()  # else a search hears of it too late
    }
}
