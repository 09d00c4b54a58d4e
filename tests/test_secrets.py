"""Secrets stay out of every file and every line: one planted in each form at each inlet."""

import runpy
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished
from omegaconf import OmegaConf

from greensweep.config.omegaconf_internals import _plain_yaml
from greensweep.secrets.data import forget, learn, mask_override, mask_text, masked, still_masked

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

PLANTED = "PL4nted"  # what each planted secret holds

# Each form that a secret takes, at each place where one can be given.
ENVIRONMENT = {
    "DB_PASSWORD": f"{PLANTED}-environment",
    "AWS_SECRET_ACCESS_KEY": f"{PLANTED}/aws+key",
    "SOME_DSN": f"host=db user=ada password={PLANTED}-dsn",
}
OVERRIDES = (
    "model=custom",
    "model.target=planted.net",
    f"+model.kwargs.password={PLANTED}-password",
    f"+model.kwargs.options={{passphrase: {PLANTED}-passphrase, depth: 2}}",
    f"+model.kwargs.credentials=[{PLANTED}-first,{PLANTED}-second]",
    f"+model.kwargs.auth_header='Bearer {PLANTED}-bearer'",
    f"+model.kwargs.url='https://h/x?api_key={PLANTED}-query&version=2'",
    f"+model.kwargs.clone=https://{PLANTED}-user@host/repository",
    "+model.kwargs.pwd=${oc.env:DB_PASSWORD}",
    "dataset=custom",
    "dataset.target=planted.splits",
    f"+dataset.kwargs.connection='host=x password={PLANTED}-libpq'",
    f"+dataset.kwargs.uri='postgresql://bob:a@{PLANTED}-at@host/db'",
    "+dataset.kwargs.key=${oc.env:AWS_SECRET_ACCESS_KEY}",
    "training.epochs=1",
    "training.batch_size=16",
    "warmup=0",
    "inference.seconds=0",
    "energy=unmetered",
)
PROGRAM = """
import logging
import sys
import numpy as np
from torch import nn

def net(image_size, num_classes, password, options, credentials, url, fails=False, **others):
    others.pop("token", None)
    secretive = others["secretive"]
    credentials = [*credentials, *others.pop("secrets"), others.pop("arguments")[1]]
    given = [password, options["passphrase"], *credentials, url, *others.values()]
    assert all("PL4nted" in each for each in given), given
    print("the network was given", *given)
    print(f"a note on {password}", file=sys.stderr)
    logging.getLogger("planted").warning("logged in with %s", password)
    if fails:
        raise RuntimeError(f"cannot log in as ada with {password}, nor at {url}, nor {secretive}")
    return nn.Sequential(nn.Flatten(), nn.Linear(image_size**2, num_classes))

def splits(connection, uri, key):
    assert all("PL4nted" in each for each in (connection, uri, key))
    labels = np.arange(60) % 3
    images = np.zeros((60, 6, 6), dtype=np.uint8)
    images[np.arange(60), 0, labels] = 255
    return {"train": (images, labels), "test": (images, labels)}
"""
OWN_PROGRAM = """
import hydra

@hydra.main(config_path=None)
def main(config):
    assert config.password.endswith("-own")
    print("the program was given", config.password)
    return config.x

main()
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The options of a run that is given a secret of each form; the file that gives one more."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"{PLANTED}-mlflow")
    (tmp_path / "planted.py").write_text(PROGRAM)
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        f"# @package _global_\nmodel:\n  kwargs:\n    secretive: 'sas={PLANTED}-of-a-file'\n"
        f"    secrets: [{PLANTED}-again]\n    plain: {PLANTED}-again\n"
        f"    arguments: [--api-key, {PLANTED}-flag]\n"
        f"    netrc: machine h login ada password {PLANTED}-netrc\n"
    )
    yield [*OVERRIDES, "experiment=mine", "--config-dir", str(tmp_path / "conf")]
    sys.modules.pop("planted", None)
    forget()


def telling(folder: Path, *ended: Finished) -> list[str]:
    """Return where a planted secret stands, of all that commands left and printed."""
    found = [
        str(path.relative_to(folder))
        for path in folder.glob("**/*")
        if path.is_file()
        and path.suffix != ".pyc"
        and not path.is_relative_to(folder / "conf")
        and path.name != "planted.py"
        and PLANTED.encode() in path.read_bytes()
    ]
    found += [str(path) for path in folder.glob("**/*") if PLANTED in str(path.relative_to(folder))]
    lines = [line for each in ended for line in (each.output + each.errors).splitlines()]
    return found + [line for line in lines if PLANTED in line]


def test_a_run_its_report_and_its_failure_tell_no_secret(
    cli: Cli, planted: list[str], tmp_path: Path, results: Results
) -> None:
    run = cli("train.py", *planted, "hydra.run.dir=run")
    assert run.status == 0, run.errors
    shown = cli("train.py", *planted, "--cfg", "all")
    failed = cli("train.py", *planted, "hydra.run.dir=failed", "+model.kwargs.fails=true")
    assert failed.status == 1
    assert "cannot log in as ada with ***" in failed.errors
    unknown = cli("train.py", *planted, f"+model.kwarg.password={PLANTED}-unknown")
    assert "model.kwarg.password: did you mean +model.kwargs.password?" in unknown.errors
    server = f"http://ada:{PLANTED}-server@127.0.0.1:9"
    untracked = cli("train.py", *planted, f"tracking.uri={server}", "hydra.run.dir=untracked")
    assert untracked.status == 0, untracked.errors
    assert "http://ada:***@127.0.0.1:9 cannot be reached" in untracked.output
    answers = [
        cli("analyse.py", "source=mlflow", "columns.energy=training.epochs", "analysis=tradeoff"),
        cli("report.py", "source=mlflow", "columns.energy=training.epochs"),
        cli("analyse.py", "source=mlflow", f"mlflow_uri=http://ada:{PLANTED}-uri@127.0.0.1:9"),
        cli("report.py", "source=mlflow", f"mlflow_uri={server}"),
        cli("evaluate.py", "checkpoint=run/model.pt", "energy=unmetered"),
    ]
    assert [each.status for each in answers] == [0, 0, 1, 1, 1], answers[0].errors
    assert telling(tmp_path, run, shown, failed, unknown, untracked, *answers) == []
    assert "logged in with ***" in (tmp_path / "run" / "train.log").read_text()
    assert "does not hold the secret model.kwargs." in answers[-1].errors
    assert len(results()) == 3


@pytest.mark.parametrize("sweeper", ["greensweep", pytest.param("optuna", marks=pytest.mark.slow)])
def test_a_sweep_and_its_failure_tell_no_secret(
    cli: Cli, planted: list[str], tmp_path: Path, sweeper: str, results: Results
) -> None:
    sweep = [
        "-m", f"hydra/sweeper={sweeper}", "hydra/sweeper/sampler=random",
        "hydra.sweeper.n_trials=2", "hydra.sweep.dir=sweep",
        "optimizer.learning_rate=interval(0.001,0.1)", *planted,
        f"hydra.sweeper.storage='sqlite:///file:own.db?uri=true&password={PLANTED}-storage'",
    ]  # fmt: skip
    ended = cli("train.py", *sweep)
    assert ended.status == 0, ended.errors
    assert [result["status"] for result in results("sweep")] == ["finished"] * 2
    assert max(result["test_accuracy"] or 0 for result in results("sweep")) > 0  # winners tested
    more = []
    if sweeper == "greensweep":
        rotated = [each.replace(PLANTED, f"{PLANTED}2") for each in sweep]
        more.append(cli("train.py", *rotated, "hydra.sweeper.n_trials=3"))
        assert more[0].status == 0, more[0].errors
        assert len(results("sweep")) == 3
        more.append(cli("train.py", *sweep, f"+model.kwargs.token={PLANTED}-token"))
        assert "+model.kwargs.token=*** is new" in more[1].errors
    sweep = [each.replace("hydra.sweep.dir=sweep", "hydra.sweep.dir=failing") for each in sweep]
    more.append(cli("train.py", *sweep, "+model.kwargs.fails=true", "hydra.sweeper.study_name=f"))
    assert more[-1].status == 1
    assert "cannot log in as ada with ***" in more[-1].errors + more[-1].output
    assert telling(tmp_path, ended, *more) == []


def test_a_program_of_ones_own_leaves_no_secret_of_its_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(OmegaConf, "to_yaml", _plain_yaml)  # as where no command of ours runs
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [
        "own.py", "-m", "hydra/sweeper=greensweep", "hydra.sweeper.n_trials=1",
        "+x=interval(0.0,1.0)", f"+password={PLANTED}-own",
        "hydra.sweeper.energy={meter: unmetered}",
        f"hydra.sweeper.storage='sqlite:///file:own.db?uri=true&password={PLANTED}-storage'",
    ])  # fmt: skip
    program = tmp_path / "own.py"
    program.write_text(OWN_PROGRAM)
    runpy.run_path(str(program), run_name="__main__")
    captured = capsys.readouterr()
    assert "the program was given ***" in captured.out
    assert telling(tmp_path, Finished(0, captured.out, captured.err)) == []
    kept = (tmp_path / "multirun" / "greensweep" / "0" / ".hydra" / "hydra.yaml").read_text()
    assert "&password=***" in kept


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({"password": "x"}, {"password": "***"}),
        ({"a": {"api_key": "x", "b": 1}}, {"a": {"api_key": "***", "b": 1}}),
        ({"HF_TOKEN": ["x", "y"]}, {"HF_TOKEN": ["***", "***"]}),
        (
            {"credentials": {"user": "x", "value": "y"}},
            {"credentials": {"user": "***", "value": "***"}},
        ),
        ({"uri": "postgresql://ada:x@db/s"}, {"uri": "postgresql://ada:***@db/s"}),
        ({"args": ["--api-key", "x", "--n", "y"]}, {"args": ["--api-key", "***", "--n", "y"]}),
        ({"token": {"value": "x", "kind": "y"}}, {"token": {"value": "***", "kind": "y"}}),
        ({"creds": {"a": ["x"]}}, {"creds": {"a": ["***"]}}),
        ({"api_keys": {"s3cr3tPW": "ada"}}, {"api_keys": {"***": "***"}}),
        ({"secrets": {"a": {"8f2c0b1e77": 1}}}, {"secrets": {"a": {"***": 1}}}),
        (
            {"secrets": {"replica-1": 1, "ada.lovelace": 2, "release_2024": 3, "md5": 4}},
            {"secrets": {"replica-1": 1, "ada.lovelace": 2, "release_2024": 3, "md5": 4}},
        ),
        ({"layers": {"8f2c0b1e77": 1}}, {"layers": {"8f2c0b1e77": 1}}),
        ({"hosts": {"https://ada:PW@h": 1}}, {"hosts": {"https://ada:***@h": 1}}),
        ({"secret": None, "keyboard": "qwerty"}, {"secret": None, "keyboard": "qwerty"}),
        ({"dsn": "${oc.env:DSN}"}, {"dsn": "${oc.env:DSN}"}),
        ({"dsn": "${oc.env:DSN,x=y}"}, {"dsn": "***"}),
    ],
)
def test_data_is_masked_by_its_names(config: dict[str, object], shown: dict[str, object]) -> None:
    assert masked(config) == shown


NAMES = (
    "pwd passphrase access_key auth_header authorization bearer cookie dsn connection_string sas "
    "signature db.password apiKey X-Amz-Signature clientSecret AWS_SECRET_ACCESS_KEY PGPASSWORD "
    "private_key sas_token smtp_pass otp jwt token2 storage_key account_key pw root_pw creds "
    "pass_phrase passkey hftoken csrf_token refresh_tokens github_pat fernet_key consumer_key "
    "license_key token.value webhook_url"
)


@pytest.mark.parametrize("name", NAMES.split())
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert masked({name: "x y"}) == {name: "***"}
    assert mask_override(f"+a.{name}=choice(x,y)") == f"+a.{name}=***"


OTHERS = (
    "tokenizer token_ids max_tokens num_passes passes key keyboard author signature_dim compass "
    "class_token pad_token forward_pass num_prefix_tokens monkey authority password_file sigma "
    "num_tokens text_tokens value credits sacred pwconv"
)


@pytest.mark.parametrize("name", OTHERS.split())
def test_what_only_sounds_like_a_secret_stays_readable(name: str) -> None:
    assert masked({name: "value"}) == {name: "value"}
    assert mask_text(f"{name}=value") == f"{name}=value"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("host=x password=PW sslmode=on", "host=x password=*** sslmode=on"),
        ("password = 'P W' host=x", "password = '***' host=x"),
        ("Server=a;Password=PW;Database=d", "Server=a;Password=***;Database=d"),
        ("Authorization: Bearer PW", "Authorization: Bearer ***"),
        ("Authorization: token PW", "Authorization: token ***"),
        ('Authorization: Digest user="a", x="PW"', "Authorization: Digest ***"),
        ("Authorization: Made-Up PW PW", "Authorization: ***"),
        ("Cookie: a=PW; b=PW", "Cookie: ***"),
        ("machine h login ada password PW", "machine h login ada password ***"),
        ("https://h/x?a=1&key=PWPWPW&b=2", "https://h/x?a=1&key=***&b=2"),
        ("https://hooks.slack.com/services/T0/B0/PWPWPWPW", "https://hooks.slack.com/***"),
        ("{'password': b'PW'}", "{'password': b'***'}"),
        ("password='it''s PW' b=1", "password='***' b=1"),
        ("curl --password PW --x 1", "curl --password *** --x 1"),
        ("https://h/x?api_key=PW&a=1#f", "https://h/x?api_key=***&a=1#f"),
        ("https://blob/x?sv=1&sig=PW&se=2", "https://blob/x?sv=1&sig=***&se=2"),
        ("https://PW@host/x", "https://***@host/x"),
        ("https://PW:x-oauth-basic@host/x", "https://***:***@host/x"),
        ("git+https\\://PW@host", "git+https\\://***@host"),
        ("postgresql://bob:a@PW@host/db", "postgresql://bob:***@host/db"),
        ("mysql://bob:a/PW@host/db", "mysql://bob:***@host/db"),
        ("redis://:PW@h:6379 and http://a:PW@b", "redis://:***@h:6379 and http://a:***@b"),
        ("u=https%3A%2F%2Fbob%3APW%40host", "u=https%3A%2F%2Fbob%3A***%40host"),
        ('{"password": "PW", "b": 1}', '{"password": "***", "b": 1}'),
        ("{'api_key': 'PW', 'b': 1}", "{'api_key': '***', 'b': 1}"),
        ("'a.b={password: PW}'", "'a.b={password: ***}'"),
        ("a.password=[PW,PW2] b=1", "a.password=*** b=1"),
        ("curl -sS -u ada:P:W https://h/x", "curl -sS -u ada:*** https://h/x"),
        ("curl https://h/x --user 'ada:P W' -o y", "curl https://h/x --user 'ada:***' -o y"),
        ('$ curl -u "ada:PW"; curl -uada:PW h', '$ curl -u "ada:***"; curl -uada:*** h'),
        ("mysql -h db -u ada -pPW study", "mysql -h db -u ada -p*** study"),
        ("mysqldump -p'PW' a | mariadb -pPW b", "mysqldump -p'***' a | mariadb -p*** b"),
        (
            "sshpass -p PW ssh h; redis-cli -h h -a PW ping",
            "sshpass -p *** ssh h; redis-cli -h h -a *** ping",
        ),
        (
            "<db><user>ada</user><password>PW</password></db>",
            "<db><user>ada</user><password>***</password></db>",
        ),
        ("<c:apiKey id='1'>\n PW\n</c:apiKey>", "<c:apiKey id='1'>***</c:apiKey>"),
        ("<token><![CDATA[P&W]]></token>", "<token><![CDATA[***]]></token>"),
        ('<db password="PW" host="h"/>', '<db password="***" host="h"/>'),
    ],
)
def test_a_secret_is_known_by_its_form(text: str, shown: str) -> None:
    assert mask_text(text) == shown
    assert mask_text(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/#/experiments/1@x", "ssh://git@github.com/a", "postgresql://ada@db/study",
        "sqlite:////tmp/a@b.db", "password authentication failed", "token: null", "Basic launcher",
        "class_token=true", "https://host/@scope/x?y=a@b", "password=${oc.env:DB_PASSWORD}",
        "docker run -u 1000:1000 -p 80:80 a", "curl -sS https://h/x:y -o z", "mysql -P 3306 -p a",
        "mysql --help; mkdir -pv a", "ssh -p 22 h", "<b>password</b>", "<password></password>",
        "<tokens>12</tokens>", "<password_file>a.txt</password_file>", "a < password > b </",
        "there is no option model.kwarg.password: did you mean +model.kwargs.password?",
    ],
)  # fmt: skip
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert mask_text(text) == text


@pytest.mark.parametrize(
    "repeated",
    [
        "a1",
        "a.",
        "a-",
        "aB_",
        "://a",
        "://a:b",
        "https://a:b@",
        "\\",
        "%3A%2F%2F",
        "eyJ-",
        "curl -u ",
        "mysql -p ",
        "<password>",
        "<a ",
    ],
)
def test_a_long_text_takes_no_longer_for_its_length(repeated: str) -> None:
    text = repeated * (100_000 // len(repeated))
    assert mask_text(f"{text} password=PW").endswith(" password=***")


def test_a_known_value_is_masked_wherever_it_turns_up() -> None:
    forget()
    learn({"db": {"password": "p@ss'w0rd"}, "token": "digits", "pwd": "12345"})
    try:
        for text in ("p@ss'w0rd", "p%40ss%27w0rd", "p@ss\\'w0rd", "p@ss''w0rd"):
            assert mask_text(f"no entry with {text}") == "no entry with ***"
        assert mask_text("12345 images of digits") == "12345 images of digits"
    finally:
        forget()


def test_a_secret_that_is_a_key_is_known_and_missed() -> None:
    forget()
    learn({"api_keys": {"s3cr3tPW": 1}})
    try:
        assert mask_text("no entry with s3cr3tPW") == "no entry with ***"
    finally:
        forget()
    assert still_masked(masked({"model": {"api_keys": {"s3cr3tPW": 1}}})) == ["model.api_keys"]


def test_tracebacks_and_streams_pass_the_door(tmp_path: Path) -> None:
    program = (
        "import logging, warnings\n"
        "from greensweep.secrets.output import mask_command_output\n"
        "mask_command_output(['a.password=PL4nted-door'])\n"
        "logging.basicConfig(filename='a.log')\n"
        "warnings.warn('a PL4nted-door')\n"
        "try: raise ValueError('b PL4nted-door')\n"
        "except ValueError: logging.exception('c %s', 'PL4nted-door')\n"
        "raise KeyError('d PL4nted-door')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    log = (tmp_path / "a.log").read_text()
    assert all(word in log for word in ("b ***", "c ***", "Traceback"))
    assert all(word in ended.stderr for word in ("a ***", "d ***"))
    assert PLANTED not in log + ended.stderr


def test_a_secret_from_the_environment_is_read_again(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", f"{PLANTED}-env")
    (tmp_path / "needs.py").write_text(
        "from torch import nn\n"
        "def net(image_size, num_classes, token, url):\n"
        f"    assert (token, url) == ('{PLANTED}-env', 'http://a:{PLANTED}-env@h')\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(image_size**2, num_classes))\n"
    )
    ended = cli(
        "train.py", "model=custom", "model.target=needs.net",
        "+model.kwargs.token=${oc.env:MY_TOKEN}",
        "+model.kwargs.url='http://a:${oc.env:MY_TOKEN}@h'", "training.epochs=1", "warmup=0",
        "inference.seconds=0", "energy=unmetered", "tracking=local", "hydra.run.dir=run",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    assert "${oc.env:MY_TOKEN}" in (tmp_path / "run" / "config.yaml").read_text()
    tested = cli("evaluate.py", "checkpoint=run/model.pt", "energy=unmetered")
    assert tested.status == 0, tested.errors


def test_what_other_code_fills_is_for_its_owner_alone(cli: Cli, tmp_path: Path) -> None:
    ended = cli(
        "train.py", "-m", "hydra/sweeper=greensweep", "hydra.sweeper.n_trials=1", "warmup=0",
        "model=dense_linear", "training.epochs=1", "energy=unmetered", "inference.seconds=0",
        "hydra.sweep.dir=sweep",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    for name in ("sweep/0/train.log", "sweep/optuna.db", "mlruns/mlflow.db"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name
    assert (tmp_path / "sweep" / "0" / "result.json").stat().st_mode & stat.S_IROTH


def test_secrets_are_not_searched(cli: Cli) -> None:
    for sweeper in ("basic", "optuna", "greensweep"):
        ended = cli(
            "train.py", "-m", f"hydra/sweeper={sweeper}", "model=custom", "model.target=a.b",
            f"+model.kwargs.password={PLANTED}-a,{PLANTED}-b",
        )  # fmt: skip
        assert ended.status == 1
        assert "model.kwargs.password cannot be searched" in ended.errors
        assert PLANTED not in ended.errors + ended.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "beside",
    [
        ("hydra/sweeper=greensweep", "hydra.sweeper.n_workers=2"),
        ("hydra/sweeper=greensweep", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
        ("hydra/sweeper=optuna", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    ],
)
def test_other_processes_tell_no_secret(
    script: Callable[..., subprocess.CompletedProcess[str]],
    planted: list[str],
    tmp_path: Path,
    beside: tuple[str, ...],
) -> None:
    for more in ((), ("+model.kwargs.fails=true",)):
        ended = script(
            "train.py", "-m", *beside, "hydra.sweeper.n_trials=2", f"hydra.sweep.dir=s{len(more)}",
            "optimizer.learning_rate=interval(0.001,0.1)", *planted, *more,
        )  # fmt: skip
        assert ended.returncode == len(more), ended.stderr
        told = Finished(ended.returncode, ended.stdout, ended.stderr)
        assert telling(tmp_path, told) == []
