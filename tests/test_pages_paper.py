"""A confounders study from the Launch page to its ranking on the Paper page."""

import demo_store
import pytest
from test_pages import open_page, said

from noisedash.datasets.splits import default_split
from noisedash.jobs.store import Store
from noisedash.spec import FromWeights
from noisedash.studies.recipes import RECIPES, build_study
from noisedash.ui.services import dataset, weights


@pytest.mark.parametrize(("name", "runs"), [("confounders", 48), ("scratch-or-finetuned", 54), ("architectures", 24)])
def test_a_preset_launches_the_recipes_own_runs(name: str, runs: int, filled: Store) -> None:
    app = open_page("launch", dataset="rooms", preset=name)
    app.segmented_control(key="preset").set_value(name).run()
    assert not app.error
    assert app.metric[0].value == str(runs)
    app.button(key="launch").click().run()
    assert not app.exception
    rooms = dataset("rooms")
    recipe = RECIPES[name]
    initial = None
    if recipe.weights is not None:
        initial = FromWeights(sha256=weights().find(recipe.weights).sha256)
    expected = build_study(recipe, "rooms", rooms.content_hash, default_split(rooms), initial)
    assert set(filled.study(f"{name}-rooms").run_ids) == {spec.id for spec in expected.specs}


def test_the_paper_page_ranks_a_confounders_study(filled: Store) -> None:
    study = build_study(RECIPES["confounders"], "rooms", "1" * 64, initial=FromWeights(sha256="b" * 64))
    filled.submit_study(study, priority=9)
    for _ in study.specs:
        assert demo_store.finish_next(filled, ("cup", "hat")) is not None
    app = open_page("paper", studies=study.name, score="0.01")
    assert not app.exception
    assert not app.error
    assert "What moves the effect of γ" in said(app)
    table = app.table[0].value
    assert len(table) == 9
    assert table["Setting"].iloc[0] == "as it is"
    assert table["Setting"].iloc[1].replace("\\", "") == "score threshold 0.3"
    assert "What moves the effect of γ" not in said(open_page("paper", studies="demo"))
