import shlex
from pathlib import Path

import pytest

from coseg_bundle.commands.training.settings import check_settings, parse_setting, parse_settings
from coseg_bundle.commands.workflow import monai_command

CONFIG = {
    "max_epochs": 50,
    "learning_rate": 0.001,
    "two_scales": False,
    "scale_range": [0.75, 1.25],
    "classes": "$names()",
    "loss": {"_target_": "coseg_bundle.losses.CoSegLoss", "lambda_1": 2.0},
    "handlers": [{"interval": 1}],
}


@pytest.mark.parametrize(
    "text",
    ["max_epochs=3", "learning_rate=1", "loss::msge_weight=0.5", "loss#lambda_1=1e-1", "handlers::0::interval=2"],
)
def test_known_settings(text):
    check_settings(CONFIG, dict([parse_setting(text)]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_epoch=3", "Unknown setting 'max_epoch': did you mean max_epochs?"),
        ("loss::lamda_1=3", "did you mean loss::lambda_1?"),
        ("qqq=3", "configs/train.yaml lists them all"),
        ("loss::lambda_1::x=3", "Unknown setting 'loss::lambda_1::x'"),
        ("max_epochs=2.5", "Expected a whole number for max_epochs, such as 50, got 2.5."),
        ("learning_rate=fast", "Expected a number for learning_rate"),
        ("two_scales=1", "Expected true or false for two_scales"),
        ("scale_range=2", "Expected a list or table for scale_range"),
    ],
)
def test_refused_settings(text, words):
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        check_settings(CONFIG, dict([parse_setting(text)]))


def test_expressions_are_let_through():
    check_settings(CONFIG, {"max_epochs": "@classes", "learning_rate": "$1 / 3"})


def test_a_key_that_is_given_twice():
    assert parse_settings(["loss#lambda_1=1", "seed=3", "loss::lambda_1=1.0"]) == {"loss::lambda_1": 1, "seed": 3}
    with pytest.raises(ValueError, match=r"loss::lambda_1 is given twice, as 1 and as 2; leave one of them out\."):
        parse_settings(["loss#lambda_1=1", "loss::lambda_1=2"])


def test_no_settings():
    for text in ("max_epochs", "=3"):
        with pytest.raises(ValueError, match="Expected KEY=VALUE"):
            parse_setting(text)
    with pytest.raises(ValueError, match="no value that YAML reads"):
        parse_setting("a=[b")


def test_fire_reads_the_printed_command_as_it_was_meant():
    from fire.parser import DefaultParseValue

    settings = {
        "a": 0.0001,
        "b": "x y.json",
        "c": ["background", "it's"],
        "d": None,
        "e": True,
        "f": "12",
        "g": {"s": 3.0},
    }
    words = shlex.split(monai_command("training", [Path("/c/train.yaml"), Path("/c/p.yaml")], settings))
    assert words[:6] == ["python", "-m", "monai.bundle", "run", "training", "--config_file"]
    assert DefaultParseValue(words[6]) == ["/c/train.yaml", "/c/p.yaml"]
    pairs = dict(zip(words[7::2], words[8::2], strict=True))
    assert {name.removeprefix("--"): DefaultParseValue(value) for name, value in pairs.items()} == settings
