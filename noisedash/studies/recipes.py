"""The studies that have a name: functions that return whole RunSpecs, in one literal dict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from noisedash.errors import NotFoundError, SpecError
from noisedash.spec import DataSpec, FromScratch, FromWeights, RunSpec, SplitSpec
from noisedash.studies import quick, variations
from noisedash.studies.grid import check_count, without_repeats
from noisedash.studies.overrides import apply_to_all
from noisedash.studies.paper import paper_gammas, paper_losses
from noisedash.studies.study import Study
from noisedash.studies.variations import Variations, with_variations

RecipeFunction = Callable[[DataSpec, FromScratch | FromWeights, Sequence[int]], tuple[RunSpec, ...]]


@dataclass(frozen=True)
class Recipe:
    """A named study of any dataset."""

    name: str
    title: str
    note: str
    """What a reader must know of it: printed beside every figure."""
    runs: RecipeFunction
    dataset: str | None = None
    """The built-in dataset that it is made for; None: the person names one."""
    weights: str | None = None
    """The name of the weights that it starts from unless the person names others; None: from scratch."""
    seeds: tuple[int, ...] = (0,)
    """The seeds that it runs unless the person names others."""
    vary: Callable[[RunSpec], Variations] | None = None
    """What is changed in each run, a setting alone at a time, once the person's overrides are in; None: nothing."""


_PAPER_NOTE = (
    "The paper's settings. The paper starts from COCO weights and trains a network of depth 1; a study from scratch, "
    "from other weights or with other settings answers another question. The authors' score threshold of .3 cuts the "
    "precision-recall curve short and costs high gammas most: look at the low threshold too."
)

RECIPES: dict[str, Recipe] = {
    "quick": Recipe(
        name="quick",
        title="Quick look: five losses with half of the labels missing",
        note=quick.NOTE,
        runs=quick.quick,
        dataset=quick.DATASET,
        weights=quick.WEIGHTS,
        seeds=quick.SEEDS,
    ),
    "paper-losses": Recipe(
        name="paper-losses",
        title="The paper's first experiment: cross-entropy and focal loss, 0 to 50 % missing",
        note=_PAPER_NOTE,
        runs=paper_losses,
    ),
    "paper-gammas": Recipe(
        name="paper-gammas",
        title="The paper's second experiment: gamma 0 to 8 at 0, 10 and 50 % missing",
        note=_PAPER_NOTE,
        runs=paper_gammas,
    ),
    "confounders": Recipe(
        name="confounders",
        title="When does a high gamma help? One setting changed at a time",
        note="Gamma 2 and 5 with half of the labels missing, in the quick study's regime and with each alone: the "
        "class head's prior, classification weight, augmentation, half and twice the steps, optimiser, and from "
        "scratch. The score threshold needs no runs of its own. One centre in one corner of the settings: what moves "
        "the effect elsewhere may differ.",
        runs=variations.confounders,
        dataset=quick.DATASET,
        weights=quick.WEIGHTS,
        seeds=quick.SEEDS,
        vary=variations.confounding_settings,
    ),
    "scratch-or-finetuned": Recipe(
        name="scratch-or-finetuned",
        title="The paper's future work: trained from scratch against fine-tuned",
        note="Cross-entropy, gamma 2 and gamma 5 on clean labels and with half of them missing: fine-tuned, from "
        "scratch with as many steps, and from scratch with three times as many. With as many steps a network from "
        "scratch may not have learnt enough to be hurt by missing labels: read its clean runs first.",
        runs=variations.scratch_or_finetuned,
        dataset=quick.DATASET,
        weights=quick.WEIGHTS,
        seeds=quick.SEEDS,
        vary=variations.from_scratch_too,
    ),
    "architectures": Recipe(
        name="architectures",
        title="Four architectures on clean labels and with half of them missing",
        note="SSD-MobileNetV1, SSDLite-MobileNetV3, SSD300-VGG16 and RetinaNet-ResNet50, all from scratch, at 160 px "
        "(SSD300: 300 px); where weights of SSD-MobileNetV1 are chosen, it is fine-tuned from them besides. From "
        "scratch SSD-MobileNetV1 has four times the learning rate of the others: at theirs it learns nothing in so few "
        "steps. Small for a start: the two large networks want a GPU, more steps and weights to tell anything of what "
        "they can do.",
        runs=variations.architectures,
        dataset=quick.DATASET,
        vary=variations.other_architectures,
    ),
    "indoor-pretrain": Recipe(
        name="indoor-pretrain",
        title="The weights that the quick study starts from",
        note="One run on clean labels; its weights ship with NoiseDash.",
        runs=quick.indoor_pretrain,
        dataset=quick.PRETRAIN_DATASET,
    ),
}


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises NotFoundError."""
    if name not in RECIPES:
        raise NotFoundError(f"There is no study recipe '{name}': choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]


def build_study(
    recipe: Recipe,
    dataset_name: str,
    content_hash: str,
    split: SplitSpec | None = None,
    initial: FromScratch | FromWeights | None = None,
    overrides: Mapping[str, str] | None = None,
    seeds: Sequence[int] | None = None,
) -> Study:
    """The study of a recipe on a dataset, with what the person chose otherwise; None leaves the recipe's choice.

    A recipe with `weights` needs `initial`, for only the caller knows their checksum. Raises SpecError.
    """
    if initial is None and recipe.weights is not None:
        raise SpecError(
            f"The study '{recipe.name}' starts from the weights '{recipe.weights}': name them or 'scratch'."
        )
    chosen_seeds = tuple(dict.fromkeys(recipe.seeds if seeds is None else seeds))
    data = DataSpec(content_hash=content_hash, split=split or SplitSpec())
    centre = apply_to_all(recipe.runs(data, initial or FromScratch(), chosen_seeds), overrides or {})
    return make_study(
        name=recipe.name if dataset_name == recipe.dataset else f"{recipe.name}-{dataset_name}",
        title=recipe.title,
        note=recipe.note,
        dataset_name=dataset_name,
        specs=varied(recipe, centre),
    )


def varied(recipe: Recipe, centre: Sequence[RunSpec]) -> tuple[RunSpec, ...]:
    """The runs of a recipe whose overrides are in, with what it varies in them. Raises SpecError."""
    return tuple(centre) if recipe.vary is None else with_variations(centre, recipe.vary)


def make_study(name: str, title: str, note: str, dataset_name: str, specs: Sequence[RunSpec]) -> Study:
    """A study of those runs, each once. Raises SpecError for too many."""
    check_count(len(specs))
    return Study(name, title, note, dataset_name, without_repeats(specs))
