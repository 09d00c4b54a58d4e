"""Hugging Face's Trainer as a recorded run: a small BERT from random weights learns a word.

python examples/huggingface_trainer.py
"""

import torch
from sklearn.metrics import f1_score
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from greensweep.loops.transformers import GreensweepTrainerCallback


def sentences(count, seed):
    """Sentences of 12 words out of 50; of class 1 are those with word 7."""
    words = torch.randint(8, 50, (count, 12), generator=torch.Generator().manual_seed(seed))
    words[::2, 3] = 7
    return [{"input_ids": each, "labels": int(7 in each)} for each in words]


def macro_f1(predicted):
    classes = predicted.predictions.argmax(axis=1)
    return {"macro_f1": f1_score(predicted.label_ids, classes, average="macro")}


size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
trainer = Trainer(
    BertForSequenceClassification(BertConfig(vocab_size=50, intermediate_size=64, **size)),
    TrainingArguments(
        "outputs/trainer", num_train_epochs=3, eval_strategy="epoch", learning_rate=3e-3,
        per_device_train_batch_size=32, per_device_eval_batch_size=128, report_to="none",
        logging_strategy="epoch",
    ),
    train_dataset=sentences(512, seed=0),
    eval_dataset=sentences(128, seed=1),
    compute_metrics=macro_f1,
    callbacks=[GreensweepTrainerCallback(metric="macro_f1", country="NLD")],
)  # fmt: skip
trainer.train()
trainer.predict(sentences(128, seed=2))
