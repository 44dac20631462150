"""Settings come from the environment, and README.md tells them all."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from pydantic_core import PydanticUndefined

from stores.settings import Settings

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("K_SINK", *(f"URUMI_{field.upper()}" for field in Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)


def test_everything_has_a_default_so_that_a_new_machine_needs_no_settings() -> None:
    settings = Settings()
    assert settings.cluster == "simulated"
    assert settings.stores_per_owner == 5
    assert settings.creation_interval == 60
    assert settings.deadline == 600
    assert settings.budget <= 25, "functions-framework ends a call 30 s after SIGTERM"
    assert all(field.get_default() is not PydanticUndefined for field in Settings.model_fields.values())


def test_a_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URUMI_STORES_PER_OWNER", "7")
    monkeypatch.setenv("URUMI_WARM", '{"medusa": 2}')
    assert Settings().stores_per_owner == 7
    assert Settings().warm == {"medusa": 2}


def test_knatives_sink_is_used_unless_ours_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_SINK", "http://broker")
    assert Settings().sink == "http://broker"
    monkeypatch.setenv("URUMI_SINK", "http://other")
    assert Settings().sink == "http://other"


@pytest.mark.parametrize(("name", "value"), [("CLUSTER", "nomad"), ("SCHEME", "ftp"), ("PORT", "eighty")])
def test_a_wrong_value_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"URUMI_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_settings_cannot_change_while_a_process_runs() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().deadline = 1


@pytest.mark.skipif(not README.exists(), reason="README.md is not written yet")
@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_the_readme_names_every_setting_with_its_default(name: str) -> None:
    variable = f"URUMI_{name.upper()}"
    lines = [line for line in README.read_text(encoding="utf-8").splitlines() if f"`{variable}`" in line]
    assert lines, f"{variable} is not in README.md"
    default = Settings.model_fields[name].get_default()
    if isinstance(default, (int, float, str)) and not isinstance(default, SecretStr) and default != "":
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        assert any(shown in line for line in lines), f"README.md does not say that {variable} is {shown} by default"
