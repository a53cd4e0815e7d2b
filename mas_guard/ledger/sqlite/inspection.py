"""What an operator sees of a ledger, from whichever process: how accounts stand, and what was lost."""

from __future__ import annotations

from collections.abc import Iterator

from mas_guard.ledger.base import Balance, CrashedHold
from mas_guard.ledger.sqlite import statements
from mas_guard.ledger.sqlite.accounts import CRASHED
from mas_guard.ledger.sqlite.connection import Connections
from mas_guard.types import Amounts, Limits

_AT_ONCE = 200  # accounts that are read in one piece: a long look must not keep the log from being taken over


def balances(connections: Connections, prefix: str) -> Iterator[tuple[str, Balance]]:
    """Yield each open account whose scope begins with *prefix*, in the order of their making."""
    last = 0
    while True:
        with connections.reader() as connection:
            rows = connection.execute(statements.BALANCES, (last, len(prefix), prefix, _AT_ONCE)).fetchall()
        for row in rows:
            last = row[0]
            figures = row[2:]
            yield (
                row[1],
                Balance(
                    Limits(*figures[:4]),
                    Amounts(*figures[4:8]),
                    Amounts(*figures[8:12]),
                    Amounts(*figures[12:16]),
                    (),
                    bool(figures[16]),
                ),
            )
        if len(rows) < _AT_ONCE:
            return


def crashed_holds(connections: Connections) -> list[CrashedHold]:
    """Return the holds that a lease's end has charged and nobody has corrected."""
    with connections.reader() as connection:
        rows = connection.execute(statements.CRASHED_HOLDS, (CRASHED,)).fetchall()
        found = []
        for hold_id, levels, *amounts in rows:
            scopes = (
                connection.execute("SELECT scope FROM mas_guard_ledger_accounts WHERE id = ?", (int(level),)).fetchone()
                for level in levels.split()
            )
            found.append(CrashedHold(hold_id, tuple(scope[0] for scope in scopes if scope), Amounts(*amounts)))
    return found
