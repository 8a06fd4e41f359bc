"""The models and the system in a real browser."""

import pytest
from playwright.sync_api import expect

from tests.page.browser import Seen
from tests.page.house import House

pytestmark = pytest.mark.system


def test_models_and_system_are_shown(seen: Seen) -> None:
    """What is installed, the living worker, and the requests that were refused."""
    seen.open("models")
    expect(seen.page.get_by_role("heading", name="blind")).to_be_visible()
    expect(seen.page.get_by_role("main")).to_contain_text("inphase-bcdi")
    seen.open("system")
    expect(seen.page.get_by_role("main")).to_contain_text("status 401")
    expect(seen.page.get_by_role("heading", name="Workers")).to_be_visible()


def test_what_runs_a_network_and_what_was_passed_over_is_shown(seen: Seen, house: House) -> None:
    """With the arithmetic and the reason, in the view of the models and in that of the system."""
    over = [{"execution": "CUDAExecutionProvider", "why": "chi2 is 0.4, not 0.1"}]
    status = house.service.http.get("/v1/status").json()
    models = status["models"]
    models["models"][0] |= {"provider": "CPUExecutionProvider", "arithmetic": "float32", "passed_over": over}
    models["refused"] = [{"folder": "broken/3", "why": "its digest is another one"}]
    seen.page.route("**/v1/status", lambda route: route.fulfill(json=status))
    seen.page.route("**/v1/models", lambda route: route.fulfill(json=models))
    for view, name in (("models", models["models"][0]["name"]), ("system", "Networks")):
        seen.open(view)
        panel = seen.page.get_by_role("region", name=name, exact=True)
        expect(panel).to_contain_text("CPUExecutionProvider, float32")
        expect(panel).to_contain_text("not CUDAExecutionProvider: chi2 is 0.4, not 0.1")
        expect(seen.page.get_by_role("main")).to_contain_text("its digest is another one")


def test_a_version_is_activated_and_rolled_back(seen: Seen, house: House) -> None:
    """After a question, for all later requests that name no version; the service says which one it is."""
    seen.open("models")
    panel = seen.page.get_by_role("region", name="blind")
    for version, verb in ((1, "Roll back to version 1"), (2, "Activate version 2")):
        expect(panel).to_contain_text(f"version {3 - version}, active")
        panel.get_by_text(f"version {version}", exact=True).click()
        panel.get_by_role("button", name=f"{verb} of blind").click()
        seen.page.get_by_role("dialog").get_by_role("button", name=verb, exact=True).click()
        expect(panel).to_contain_text(f"version {version}, active")
        told = house.service.http.get("/v1/models/blind").json()
        assert told["active"] == version


def test_who_is_no_admin_is_offered_no_activation(seen: Seen) -> None:
    """The versions are shown all the same."""
    seen.page.route("**/v1/login", lambda route: route.fulfill(json={"owner": "ada", "scope": "submit"}))
    seen.open("models")
    panel = seen.page.get_by_role("region", name="blind")
    panel.get_by_text("version 1", exact=True).click()
    expect(panel.get_by_text("digest").first).to_be_visible()
    expect(panel.get_by_role("button")).to_have_count(0)
