"""Every error a client can meet, in one tree.

::

    BridgeError
    ├── RequestError          the caller's mistake: do not retry unchanged
    ├── SessionError          the session is not in the state the call needs
    ├── LimitError            try again later
    ├── TavusError            Tavus refused, failed or did not answer
    ├── RoomError             the room, the replica or our link to them failed
    ├── StreamError           one message of a stream was wrong (HTTP never sees these)
    └── Draining, NotReady, Internal    our own state

A leaf is one stable ``code``. It knows its HTTP status, the WebSocket close code that matches it
and whether the same call can succeed later. HTTP answers, WebSocket ``error`` messages and close
frames are all made from these attributes, so no handler needs an ``if``.
"""

from __future__ import annotations

from typing import ClassVar


class BridgeError(Exception):
    """Base of all errors with a stable code. ``detail`` is meant for the caller to read."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something broke on our side"
    status: ClassVar[int] = 500
    close_code: ClassVar[int] = 4500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after_ms: int | None = None,
        fields: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Make the error.

        ``retry_after_ms`` is set when the moment of a sensible retry is known; ``fields`` holds
        (JSON pointer or field name, what is wrong with it) pairs.
        """
        self.detail = detail or self.title
        self.retry_after_ms = retry_after_ms
        self.fields = fields
        super().__init__(self.detail)

    def copy(self) -> BridgeError:
        """The same error without its history.

        An exception holds every frame it went through: raising one twice, or keeping one, would
        keep those alive.
        """
        return type(self)(self.detail, retry_after_ms=self.retry_after_ms, fields=self.fields)


# --- the caller's mistake ---------------------------------------------------------------------


class RequestError(BridgeError):
    """The request itself is wrong; the same one will be refused again."""

    code = "invalid_request"
    title = "The request has the wrong shape"
    status = 422
    close_code = 4400


class InvalidRequest(RequestError):
    """A field is missing, of the wrong type or out of range."""


class MalformedJson(RequestError):
    """The body is not JSON at all."""

    code = "malformed_json"
    title = "The body is not valid JSON"
    status = 400


class UnsupportedFormat(RequestError):
    """The audio format is unknown or out of range."""

    code = "unsupported_format"
    title = "This audio format is not supported"
    status = 400
    close_code = 4415


class Unauthorized(RequestError):
    """No credential, or one that is unknown, expired or used up."""

    code = "unauthorized"
    title = "A valid credential is required"
    status = 401
    close_code = 4401


class Forbidden(RequestError):
    """The caller is known, or local only, and may not do this."""

    code = "forbidden"
    title = "This is not allowed"
    status = 403
    close_code = 4403


class NotFound(RequestError):
    """No such route."""

    code = "not_found"
    title = "There is nothing at this address"
    status = 404
    close_code = 4404


class SessionNotFound(NotFound):
    """No session has this id, or it ended more than an hour ago."""

    code = "session_not_found"
    title = "There is no such session"


class MethodNotAllowed(RequestError):
    """The route exists but not with this method."""

    code = "method_not_allowed"
    title = "This method is not allowed here"
    status = 405


class TooLarge(RequestError):
    """A body or message is over its limit."""

    code = "too_large"
    title = "This is too large"
    status = 413
    close_code = 1009


class IdempotencyConflict(RequestError):
    """The Idempotency-Key was used before with another body."""

    code = "idempotency_conflict"
    title = "This Idempotency-Key was used with another body"
    status = 409


class IdempotencyInProgress(BridgeError):
    """The first request with this Idempotency-Key has not finished."""

    code = "idempotency_in_progress"
    title = "The first request with this Idempotency-Key is still running"
    status = 409
    close_code = 4400
    retryable = True


# --- the session's state ----------------------------------------------------------------------


class SessionError(BridgeError):
    """The session exists but is not in a state for this."""

    code = "session_over"
    title = "The session is over"
    status = 409
    close_code = 4410


class SessionOver(SessionError):
    """The session has ended."""


class SessionNotReady(SessionError):
    """The replica is not in the room yet."""

    code = "session_not_ready"
    title = "The replica is not in the room yet"
    close_code = 4500
    retryable = True


# --- limits -----------------------------------------------------------------------------------


class LimitError(BridgeError):
    """A limit of ours was reached."""

    code = "rate_limited"
    title = "Too many requests"
    status = 429
    close_code = 4429
    retryable = True


class RateLimited(LimitError):
    """Too many requests or messages in a short time."""


class TooManySessions(LimitError):
    """``BRIDGE_MAX_SESSIONS`` sessions are running."""

    code = "too_many_sessions"
    title = "The service runs as many sessions as it may"


# --- Tavus ------------------------------------------------------------------------------------


class TavusError(BridgeError):
    """Tavus refused, failed or did not answer."""

    code = "tavus_unavailable"
    title = "Tavus failed"
    status = 502
    close_code = 4502


class TavusRejected(TavusError):
    """Tavus found the request wrong; its own words are in ``detail``."""

    code = "tavus_rejected"
    title = "Tavus rejected the request"
    status = 400
    close_code = 4400


class TavusOutOfCredits(TavusError):
    """The Tavus account has no conversational credits left."""

    code = "tavus_out_of_credits"
    title = "The Tavus account is out of credits"
    status = 402


class TavusConcurrencyLimit(TavusError):
    """The Tavus account runs as many conversations as its plan allows."""

    code = "tavus_concurrency_limit"
    title = "The Tavus account runs as many conversations as it may"
    status = 429
    retryable = True


class TavusRateLimited(TavusError):
    """Tavus asks to slow down."""

    code = "tavus_rate_limited"
    title = "Tavus asks to slow down"
    status = 429
    retryable = True


class TavusUnauthorized(TavusError):
    """Tavus does not know our API key."""

    code = "tavus_unauthorized"
    title = "Tavus does not accept the service's API key"


class TavusForbidden(TavusError):
    """The Tavus plan or key does not allow this."""

    code = "tavus_forbidden"
    title = "Tavus does not allow this with the service's plan"


class TavusUnavailable(TavusError):
    """Tavus answered with an error of its own, or cannot be reached."""

    retryable = True


class TavusUnreachable(TavusUnavailable):
    """Tavus cannot be reached: it has not seen the request."""


class TavusTimeout(TavusError):
    """Tavus did not answer in time. The outcome is unknown: a repeat could be billed twice."""

    code = "tavus_timeout"
    title = "Tavus did not answer in time"
    status = 504


# --- room and replica -------------------------------------------------------------------------


class RoomError(BridgeError):
    """The room, the replica or the link to them failed."""

    code = "room_failed"
    title = "The room failed"
    status = 502
    close_code = 4502
    retryable = True


class RoomFailed(RoomError):
    """The room could not be joined, or was lost."""


class ReplicaTimeout(RoomError):
    """The replica did not join the room in time."""

    code = "replica_timeout"
    title = "The replica did not join in time"
    status = 504


class ReplicaLost(RoomError):
    """The replica left the room and did not come back."""

    code = "replica_lost"
    title = "The replica left and did not come back"


class ReplicaStalled(RoomError):
    """The replica does not speak what it was sent, or sends no picture while somebody watches."""

    code = "replica_stalled"
    title = "The replica shows no life"


# --- one message of a stream ------------------------------------------------------------------


class StreamError(BridgeError):
    """One message of the stream was wrong; the socket stays open."""

    code = "bad_message"
    title = "The message has the wrong shape"
    status = 400
    close_code = 4400


class BadMessage(StreamError):
    """Not JSON, not an object, a field missing or of the wrong type."""


class UnknownType(StreamError):
    """``type`` names no message of this protocol version."""

    code = "unknown_type"
    title = "There is no message of this type"


class BadBase64(StreamError):
    """``audio`` is not base64; none of the message was used."""

    code = "bad_base64"
    title = "The audio is not valid base64"


class FormatMismatch(StreamError):
    """The bytes are not what the format says."""

    code = "format_mismatch"
    title = "The audio is not in the declared format"
    close_code = 4415


class PartialSample(StreamError):
    """The utterance ended inside a sample; the whole samples play."""

    code = "partial_sample"
    title = "The audio ended inside a sample"


class UtteranceIdInUse(StreamError):
    """The id is one of the session's last 1000."""

    code = "utterance_id_in_use"
    title = "This utterance id was used before"


class UtteranceMismatch(StreamError):
    """``utterance.end`` named another utterance than the open one."""

    code = "utterance_mismatch"
    title = "Another utterance is open"


class TooManyUtterances(StreamError):
    """As many utterances wait as may."""

    code = "too_many_utterances"
    title = "Too many utterances are waiting"
    retryable = True


class TooManyMarks(StreamError):
    """As many marks wait as may."""

    code = "too_many_marks"
    title = "Too many marks are waiting"
    retryable = True


class BufferOverflow(StreamError):
    """The message does not fit into the buffer whole."""

    code = "buffer_overflow"
    title = "The audio buffer is full"
    retryable = True


class RoleForbidden(StreamError):
    """The connection's role does not allow this message."""

    code = "role_forbidden"
    title = "This connection's role does not allow this"
    close_code = 4403


class ResumeFailed(StreamError):
    """The missed messages are no longer all held."""

    code = "resume_failed"
    title = "The missed messages are no longer all held"


# --- our own state ----------------------------------------------------------------------------


class Draining(BridgeError):
    """The service is shutting down and takes no new sessions."""

    code = "draining"
    title = "The service is shutting down"
    status = 503
    close_code = 4503
    retryable = True


class NotReady(BridgeError):
    """Something that every session needs does not answer: the sandbox, or our own disk."""

    code = "not_ready"
    title = "The service is not ready"
    status = 503
    close_code = 4503
    retryable = True


class Internal(BridgeError):
    """A bug of ours. The detail says nothing private."""


class CannotStart(Exception):
    """The service cannot run with these settings; the text says why. No client ever sees it."""
