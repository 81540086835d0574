"""How a comment becomes a note and back: attributed, cut at the other side's limit, never in the middle of a letter."""

COMMENT_BYTES = 4000
"""CaseComment.CommentBody holds this many bytes of UTF-8 (Salesforce object reference, CaseComment)."""

NOTE_BYTES = 65_535
"""A note holds this many single-byte characters (PagerDuty, "Edit incidents")."""

RESOLUTION_PREFIX = "Resolution Note: "


def as_note(author: str, body: str) -> list[str]:
    """Return the PagerDuty notes that carry a Case comment, in order."""
    return _parts(f"{author or 'Somebody'} (Salesforce): ", body, NOTE_BYTES)


def as_comments(author: str, content: str) -> list[str]:
    """Return the Case comments that carry an incident note, in order."""
    return _parts(f"{author or 'Somebody'} (PagerDuty): ", content, COMMENT_BYTES)


def cut(text: str, size: int) -> str:
    """Return as much of `text` as fits into `size` bytes of UTF-8, ending with … when something was cut."""
    if len(text.encode()) <= size:
        return text
    return _head(text, size - len("…".encode())) + "…"


def _parts(prefix: str, text: str, size: int) -> list[str]:
    if len((prefix + text).encode()) <= size:
        return [prefix + text]
    room = size - len(prefix.encode()) - len(" (99/99) ")
    parts: list[str] = []
    rest = text
    while rest:
        head = _head(rest, room)
        parts.append(head)
        rest = rest[len(head) :]
    total = len(parts)
    return [f"{prefix}({n}/{total}) {part}" for n, part in enumerate(parts, 1)]


def _head(text: str, size: int) -> str:
    """Cut at `size` bytes, on a letter's edge, and at a blank where one is near."""
    head = text.encode()[:size].decode(errors="ignore")
    if len(head) == len(text):
        return head
    blank = max(head.rfind(" "), head.rfind("\n"))
    return head[: blank + 1] if blank > len(head) // 2 else head
