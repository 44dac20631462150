"""oidc-provider-mock, an OpenID Connect provider whose ID tokens hold whatever a user's claims say, as a program.

One thing is added: its tokens name their key, as those of providers that rotate keys do. It imports nothing of ours, so
that it runs wherever its package does.
"""

from __future__ import annotations

from typing import Any

from oidc_provider_mock import _app
from oidc_provider_mock.__main__ import run


def main() -> None:
    plain = _app.OpenIDCode.get_jwt_config

    def with_key_id(self: Any, grant: Any, client: Any = None) -> dict[str, Any]:
        config = plain(self, grant, client)
        return config | {"kid": _app.storage.jwk.as_dict()["kid"]}

    _app.OpenIDCode.get_jwt_config = with_key_id
    run()


if __name__ == "__main__":
    main()
