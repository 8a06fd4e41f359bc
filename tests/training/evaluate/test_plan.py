"""What is compared."""

from inphase.retrieval import recipe as recipes
from training.evaluate.plan import ER, Plan


def test_every_recipe_of_the_plan_can_be_carried_out():
    """Of the iterations that their names say; samples fall on iterations at which progress is told."""
    plan = Plan()
    found = [recipes.resolve(text).iterations for text in (ER, plan.conventional, plan.alone)]
    assert found == [50, 600, 600]
    assert recipes.resolve(plan.refine).iterations < 600
    assert plan.sampled % 10 == 0
