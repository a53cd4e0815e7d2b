"""Runs the command line as users do: real processes in a directory of their own, a real model server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from mas_guard.testing import ModelServer, Reply, Request, call, text

SWARM = """
import os
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph_swarm import create_handoff_tool, create_swarm

model = ChatOpenAI(base_url=os.environ["MODEL_URL"], api_key="x", model="gpt-4o-mini", max_retries=0)


def agent(name, target):
    return create_agent(model, tools=[create_handoff_tool(agent_name=target)], name=name)


agents = [agent("alice", "bob"), agent("bob", "carol"), agent("carol", "alice")]
graph = create_swarm(agents, default_active_agent="alice").compile()

if __name__ == "__main__":
    result = graph.invoke({"messages": [("user", "My invoice is wrong.")]}, {"recursion_limit": 200})
    print(result["messages"][-1].content)
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class Workspace:
    """A directory with an app in it, and the command line started there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, content: str) -> Path:
        """Put a file there."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    def python(self, *arguments: str, env: Mapping[str, str] | None = None) -> Done:
        """Start a plain Python there."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MAS_GUARD_")}
        clean.update(env or {})
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env=clean,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def mas_guard(self, *arguments: str, env: Mapping[str, str] | None = None) -> Done:
        """Start `mas-guard` there."""
        return self.python("-m", "mas_guard.cli", *arguments, env=env)

    def plugin(self, name: str, code: str) -> dict[str, str]:
        """Install a plugin with an entry point of its own; returns the variables that make it found."""
        site = self.path / "site"
        self.write(f"site/{name}.py", code)
        self.distribution(name, "1.0", {"mas_guard": {name: name}})
        return {"PYTHONPATH": str(site)}

    def distribution(self, name: str, version: str, entry_points: Mapping[str, Mapping[str, str]]) -> Path:
        """Put a distribution's metadata in front of the installed ones; returns the directory."""
        folder = f"site/{name}-{version}.dist-info"
        self.write(f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"[{group}]\n{key} = {at}\n" for group, at_key in entry_points.items() for key, at in at_key.items()]
        self.write(f"{folder}/entry_points.txt", "".join(lines))
        return self.path / "site"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty directory to run commands in."""
    return Workspace(tmp_path)


@pytest.fixture
def swarm(workspace: Workspace) -> Workspace:
    """A directory with an unchanged swarm in `app.py` that hands on for ever."""
    workspace.write("app.py", SWARM)
    return workspace


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Agents that always hand on, an owner that concludes when it is asked to; gives up at 40 calls."""

    def reply(request: Request) -> Reply:
        if request.body.get("tool_choice") == "none" or not request.tool_names:
            return text("Here is what we know so far.")
        return call(request.tool_names[0])

    with ModelServer(reply, max_requests=40) as running:
        yield running


@pytest.fixture
def model_url(server: ModelServer) -> dict[str, str]:
    """The variable that leads the app to the server."""
    return {"MODEL_URL": server.url}
