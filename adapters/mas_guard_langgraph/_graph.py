"""What a graph's structure tells: which nodes are agents, tool nodes or middleware, and which edges repeat."""

from __future__ import annotations

import difflib
import weakref
from collections.abc import Iterable
from typing import Any

from mas_guard import ConfigError, Policy
from mas_guard.adapter import Finding

BRANCH = "branch:to:"
JOIN = "join:"
MIDDLEWARE = (".before_agent", ".before_model", ".after_model", ".after_agent")
HIDDEN = frozenset({"__start__", "__end__"})

_known: weakref.WeakKeyDictionary[Any, Graph] = weakref.WeakKeyDictionary()


class Graph:
    """Facts about one compiled graph, worked out once.

    Attributes:
        nodes: The names of its nodes.
        subgraphs: Nodes that hold a graph of their own: agents from the start.
        bound: Nodes that *are* a graph: it can be ended in place.
        never_agents: Tool nodes and middleware hooks: what they do, they do for the agent before them.
        static_edges: Declared edges, as pairs.
        declared: Every move that the graph declares: edges, branches' ends, `destinations`.
    """

    __slots__ = ("bound", "declared", "groups", "never_agents", "nodes", "static_edges", "subgraphs")

    def __init__(self, pregel: Any) -> None:
        self.nodes = frozenset(name for name in pregel.nodes if name not in HIDDEN)
        self.bound: dict[str, Any] = {}
        subgraphs, never = set(), set()
        for name, node in pregel.nodes.items():
            inner = node.bound
            if node.subgraphs or _is_pregel(inner):
                subgraphs.add(name)
            if _is_pregel(inner):
                self.bound[name] = inner
            if type(inner).__name__ == "ToolNode" or name.endswith(MIDDLEWARE):
                never.add(name)
        self.subgraphs = frozenset(subgraphs)
        self.never_agents = frozenset(never)
        self.static_edges, self.declared = _edges(pregel, self.nodes)
        self.groups = _components(self.nodes, self.declared)

    def may_be_agent(self, node: str) -> bool:
        """False for nodes that only ever act for another."""
        return node not in self.never_agents

    def cannot_repeat(self, source: str, target: str) -> bool:
        """True for a declared move that lies on no cycle."""
        return (source, target) in self.declared and self.groups.get(source) != self.groups.get(target)


def graph_of(pregel: Any) -> Graph:
    """The facts about *pregel*."""
    graph = _known.get(pregel)
    if graph is None:
        graph = _known[pregel] = Graph(pregel)
    return graph


def _is_pregel(runnable: Any) -> bool:
    return any(kind.__name__ == "Pregel" for kind in type(runnable).__mro__)


def _edges(pregel: Any, nodes: frozenset[str]) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
    builder = getattr(pregel, "builder", None)
    if builder is None:
        return frozenset(), frozenset()
    static = set(builder.edges)
    for starts, end in builder.waiting_edges:
        static.update((start, end) for start in starts)
    declared = set(static)
    for source, branches in builder.branches.items():
        for branch in branches.values():
            ends: Iterable[str] = branch.ends.values() if branch.ends else nodes
            declared.update((source, end) for end in ends)
    for source, spec in builder.nodes.items():
        if spec.ends:
            declared.update((source, end) for end in spec.ends)
    return frozenset(static), frozenset(declared)


def _components(nodes: frozenset[str], edges: frozenset[tuple[str, str]]) -> dict[str, int]:
    """Strongly connected components (Tarjan 1972), without recursion: a move within one may repeat."""
    following: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        if source in following and target in following:
            following[source].append(target)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    on_stack: set[str] = set()
    stack: list[str] = []
    component: dict[str, int] = {}
    for root in nodes:
        if root in index:
            continue
        work = [(root, iter(following[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(following[target])))
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component[member] = index[node]
                        if member == node:
                            break
    return component


def check_owner(pregel: Any, policy: Policy) -> None:
    """Refuse an owner that is no node of the graph."""
    owner = policy.owner
    if not owner:
        return
    nodes = graph_of(pregel).nodes
    if owner not in nodes:
        near = difflib.get_close_matches(owner, nodes, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(nodes))}."
        raise ConfigError(
            f"OWNER={owner!r} is no node of this graph: {hint}",
            source=policy.explain("OWNER").source,
            key="OWNER",
        )


def agent_names(pregel: Any) -> frozenset[str]:
    """Names that agents may act under: nodes, and graphs inside of nodes with theirs."""
    if not hasattr(pregel, "nodes"):
        return frozenset()
    graph = graph_of(pregel)
    names = {node for node in graph.nodes if graph.may_be_agent(node)}
    for node in graph.subgraphs:
        for inner in [graph.bound[node]] if node in graph.bound else pregel.nodes[node].subgraphs or ():
            names |= agent_names(inner) | {inner.get_name()}
    return frozenset(names)


def examine(pregel: Any) -> list[Finding]:
    """What `doctor` says about a graph: who can own its runs."""
    findings: list[Finding] = []
    if not hasattr(pregel, "nodes") or not hasattr(pregel, "stream"):
        return findings
    graph = graph_of(pregel)
    agents = sorted(graph.subgraphs)
    entry = [end for start, end in graph.static_edges if start == "__start__"]
    if agents:
        findings.append(Finding("ok", f"agents: {', '.join(agents)}"))
    if len(entry) == 1 and entry[0] not in graph.subgraphs:
        findings.append(
            Finding(
                "warning",
                f"the entry node {entry[0]!r} is a plain function: it owns the run only if it calls a model, else a "
                "limit ends the run with an error",
                "name an agent: MAS_GUARD_OWNER=<node>",
            )
        )
    if getattr(pregel, "checkpointer", None) is None:
        findings.append(
            Finding("warning", "no checkpointer: a stopped run cannot be resumed", "compile(checkpointer=…)")
        )
    return findings
