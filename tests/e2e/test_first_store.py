"""The main job on a real cluster: ask for a store, watch it become ready, open it, delete it."""

import re
import time
from collections.abc import Callable

from tests.e2e.conftest import Owner, leftovers, objects, visit


def test_a_medusa_store_lives_from_request_to_removal(owner: Owner, figure: Callable[[str, float], None]) -> None:
    began = time.monotonic()
    store = owner.create("first-store", "medusa")
    figure("POST to 202, seconds", time.monotonic() - began)

    ready = owner.ready(store)
    figure("medusa: POST to ready, seconds", ready["time_to_ready_seconds"])
    for step in ready["steps"]:
        figure(f"medusa: step {step['name']}, seconds", step["seconds"])

    namespace = [n for n in objects("ns") if n["metadata"]["name"] == store["namespace"]]
    assert namespace[0]["metadata"]["labels"]["urumi.dev/store"] == store["id"]
    page = visit(ready["host"])
    assert page.status_code == 200
    products = re.findall(r'href="(/products/[^"]+)"', page.text)
    assert len(set(products)) >= 3, page.text[:2000]
    assert "first-store" in page.text
    assert visit(ready["host"], products[0]).status_code == 200

    figure("medusa: DELETE to nothing left, seconds", owner.delete(store))
    assert leftovers(store["namespace"]) == {"namespaces": [], "volumes": [], "releases": []}
    assert visit(ready["host"]).status_code == 404
