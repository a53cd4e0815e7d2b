"""What the nodes of a graph declare to give, and who takes it: for contracts that are checked before anything runs."""

from __future__ import annotations

from typing import Any, get_type_hints

from mas_guard_langgraph._graph import graph_of


def declared_outputs(pregel: Any) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """The type that each node declares to return, and the nodes that an edge leads to from it. A node that is a graph
    declares that graph's output; nodes that declare nothing are left out."""
    graph, builder = graph_of(pregel), getattr(pregel, "builder", None)
    found: dict[str, tuple[Any, tuple[str, ...]]] = {}
    for name in sorted(graph.nodes):
        declared = _declared(graph, builder, name)
        if declared is not None:
            found[name] = (
                declared,
                tuple(sorted(end for start, end in graph.declared if start == name and end in graph.nodes)),
            )
    return found


def _declared(graph: Any, builder: Any, name: str) -> Any:
    inner = graph.bound.get(name)
    if inner is not None:
        schema = getattr(getattr(inner, "builder", None), "output_schema", None)
        return schema if _has_fields(schema) and set(_fields(schema)) - {"messages"} else None
    spec = builder.nodes.get(name) if builder is not None else None
    runnable = getattr(spec, "runnable", None)
    function = getattr(runnable, "func", None) or getattr(runnable, "afunc", None)
    try:
        declared = get_type_hints(function).get("return") if function is not None else None
    except Exception:  # hints that cannot be resolved declare nothing
        return None
    return declared if _has_fields(declared) else None


def _has_fields(declared: Any) -> bool:
    return isinstance(declared, type) and bool(_fields(declared))


def _fields(declared: Any) -> dict[str, Any]:
    return getattr(declared, "model_fields", None) or getattr(declared, "__annotations__", None) or {}
