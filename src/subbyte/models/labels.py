"""What a classifier's configuration says of labels and scores, read as transformers and sentence-transformers do."""

from collections.abc import Mapping
from typing import Any

from subbyte.errors import ModelError
from subbyte.models.model import Scores
from subbyte.models.pooling import class_of_torch

PROBLEMS = (None, "regression", "single_label_classification", "multi_label_classification")
# class of torch that a cross-encoder names -> what makes its scores
SCORES: Mapping[str, Scores] = {"Identity": "none", "Sigmoid": "sigmoid", "Softmax": "softmax"}
MOST_LABELS = 1 << 16
DEFAULT_LABELS = 2  # of transformers, where a configuration names none


def count(config: Mapping[str, Any], faults: list[str]) -> int:
    """How many labels there are."""
    named, count = config.get("id2label"), config.get("num_labels")
    if named is not None and not (
        isinstance(named, dict)
        and 0 < len(named) <= MOST_LABELS
        and {str(i) for i in range(len(named))} == named.keys()
        and all(isinstance(name, str | int | float) for name in named.values())
    ):
        faults.append("id2label should name each label by its number, from 0")
        return 1
    labels = len(named) if named else DEFAULT_LABELS if count is None else count
    if type(labels) is not int or not 1 <= labels <= MOST_LABELS:
        faults.append(f"num_labels is {labels!r}, should be a whole number from 1 to {MOST_LABELS}")
        return 1
    problem = config.get("problem_type")
    if problem not in PROBLEMS:
        faults.append(f"problem_type is {problem!r}, should be one of {', '.join(map(str, PROBLEMS[1:]))}")
    if problem == "single_label_classification" and labels == 1:
        faults.append(
            "problem_type is single_label_classification with one label, whose probability would always be 1; say "
            "regression, or leave it out for a sigmoid"
        )
    return labels


def scores_of(
    config: Mapping[str, Any],
    labels: int,
    activation: object = None,
    where: str = "config.json",
    *,
    reranks: bool = False,
) -> Scores:
    """What makes a classifier's scores of its logits.

    A cross-encoder names a class of torch: `activation` is what config_sentence_transformers.json has, else config.json
    is asked, its older key where the newer is not there. One that names none, for `reranks` or the newer key says what
    it is, has a sigmoid for one label and nothing for several. Otherwise the rule of transformers' pipeline: nothing
    for a regression, a sigmoid for one label and for several at once, else softmax.
    """
    own = config.get("sentence_transformers")
    own = own if isinstance(own, dict) else {}
    says = "activation_fn" in own
    named = activation or (own["activation_fn"] if says else config.get("sbert_ce_default_activation_function"))
    if named is not None:
        if class_of_torch(named) not in SCORES:
            raise ModelError(
                f"{where}: the activation function of scores is {named!r}; of torch.nn {', '.join(SCORES)} are run"
            )
        return SCORES[class_of_torch(named)]
    if says or reranks:
        return "sigmoid" if labels == 1 else "none"
    problem = config.get("problem_type")
    if problem == "regression":
        return "none"
    return "sigmoid" if problem == "multi_label_classification" or labels == 1 else "softmax"


def scores_of_older(labels: int) -> Scores:
    """The same for a folder that was converted before this was recorded: one label was a number then, whatever else."""
    return "none" if labels == 1 else "softmax"
