"""The settings of reviews: through which channel a person is asked, how long, and where reviews are kept."""

from __future__ import annotations

from mas_guard.config.setting import Setting

REVIEW_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "REVIEW__CHANNEL",
        "choice",
        "none",
        "How a person is asked for a decision; without it nobody ever is. `queue` waits for `mas-guard reviews`, "
        "`terminal` asks where the app runs if that is a terminal, `interrupt` is the framework's own pause, `webhook` "
        "posts to REVIEW__WEBHOOK_URL, `callable` asks a function of the app. Whatever the channel, `mas-guard "
        "reviews` can answer where the store is shared.",
        "queue",
        optional=True,
        choices=("queue", "terminal", "interrupt", "webhook", "callable"),
    ),
    Setting(
        "REVIEW__TIMEOUT",
        "duration",
        "15m",
        "How long a review can be answered. After that it counts as rejected, for whoever reads it next.",
        "2h",
        unit="time",
        positive=True,
    ),
    Setting(
        "REVIEW__ON_TIMEOUT",
        "choice",
        "reject",
        "What a review counts as that nobody answered in time. Nothing is ever approved by a clock.",
        "reject",
        choices=("reject",),
    ),
    Setting(
        "REVIEW__STORE",
        "url",
        "store://",
        "Where reviews are kept, with what the person must see: `store://` is where STORE is, `memory://` this process "
        "alone and gone with it; `sqlite:///reviews.db` is a file (`sqlite:////var/lib/app/reviews.db` one with an "
        "absolute path) in which the other processes of the machine can answer, `redis://host:6379` a server where "
        "those of all machines can.",
        "sqlite:///reviews.db",
    ),
    Setting(
        "REVIEW__FALLBACK",
        "text",
        "none",
        "The text that stands in place of a result that was rejected, by a person or because nobody answered.",
        "We will get back to you.",
        optional=True,
    ),
    Setting(
        "REVIEW__WEBHOOK_URL",
        "url",
        "none",
        "Where the channel `webhook` posts reviews and stops, signed with REVIEW__WEBHOOK_SECRET.",
        "https://example.org/reviews",
        unit="http or https address",
        optional=True,
    ),
    Setting(
        "REVIEW__WEBHOOK_SECRET",
        "text",
        "none",
        "The secret that signs what goes to the webhook and what comes back. It is never shown.",
        "change-me-to-32-random-characters",
        optional=True,
        secret=True,
    ),
)
