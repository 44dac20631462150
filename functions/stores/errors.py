"""Everything that can go wrong on purpose, as one small tree. Each becomes a problem+json answer (RFC 9457).

UrumiError                500
|-- BadRequest            400  not JSON, not a CloudEvent
|-- Unauthorized          401  no token, or not a valid one
|-- NotFound              404  no such path or store; also another owner's store
|-- MethodNotAllowed      405
|-- Conflict              409  the store's state does not allow it
|   |-- NameTaken              another living store has the name
|   `-- Busy                   another call works on the store just now; Knative tries again
|-- Gone                  410  credentials that were already shown
|-- TooLarge              413
|-- WrongMediaType        415
|-- Invalid               422  a field is wrong; each is named
|-- Retryable                  knows when a second try makes sense
|   |-- TooMany           429  with Retry-After
|   |   |-- QuotaExceeded       the owner has as many stores as allowed
|   |   `-- RateLimited        the owner created one a moment ago
|   `-- Unavailable       503  with Retry-After: PostgreSQL or the cluster is away
|       |-- PlatformFull       the cluster has no room for another store
|       `-- ClusterError       Kubernetes or Helm refused or failed one action; carries a reason for the owner
|           |-- Missing        the object is not there          (these three in stores/apiserver.py)
|           |-- Forbidden      we may not, and it is no quota's doing
|           `-- Exists         the object is there already
"""


class UrumiError(Exception):
    """`detail` is a sentence that a merchant understands and that never holds a secret."""

    status = 500
    title = "Something went wrong"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def reason(self) -> str:
        """A short word for audit and metrics: NameTaken -> name-taken."""
        name = type(self).__name__
        return "".join("-" + c.lower() if c.isupper() else c for c in name).lstrip("-")


class BadRequest(UrumiError):
    status, title = 400, "The request cannot be read"


class Unauthorized(UrumiError):
    status, title = 401, "Not signed in"


class NotFound(UrumiError):
    status, title = 404, "Not found"


class MethodNotAllowed(UrumiError):
    status, title = 405, "Method not allowed"

    def __init__(self, detail: str, *, allow: list[str]) -> None:
        super().__init__(detail)
        self.allow = allow


class Conflict(UrumiError):
    status, title = 409, "Not possible right now"


class NameTaken(Conflict):
    title = "The name is taken"


class Busy(Conflict):
    title = "The store is being worked on"


class Gone(UrumiError):
    status, title = 410, "Already shown"


class TooLarge(UrumiError):
    status, title = 413, "The request is too large"


class WrongMediaType(UrumiError):
    status, title = 415, "The request must be JSON"


class Invalid(UrumiError):
    """`fields` maps each wrong field to what is wrong with it."""

    status, title = 422, "Some fields are wrong"

    def __init__(self, detail: str, *, fields: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.fields = fields or {}


class Retryable(UrumiError):
    """Knows after how many seconds a second try makes sense."""

    def __init__(self, detail: str, *, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TooMany(Retryable):
    status, title = 429, "Too many"


class QuotaExceeded(TooMany):
    title = "The quota is used up"


class RateLimited(TooMany):
    title = "Too fast"


class Unavailable(Retryable):
    status, title = 503, "The platform is not available"

    def __init__(self, detail: str, *, retry_after: float = 5) -> None:
        super().__init__(detail, retry_after=retry_after)


class PlatformFull(Unavailable):
    title = "The platform is full"


class ClusterError(Unavailable):
    """One action on the cluster failed; `cause` is one of model.Cause's words, for the owner's error page."""

    def __init__(self, detail: str, *, cause: str = "cluster-error") -> None:
        super().__init__(detail)
        self.cause = cause
