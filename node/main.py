"""The process of one node. Exit codes: `node.process`."""

from node.config import NodeConfig
from node.daemon import run_node
from node.env import real_env
from node.logs import Log, Redactor
from node.process import run_service


def run_process(config: NodeConfig) -> int:
    """Run the node that `config` describes until a signal; the exit code."""
    env = real_env()

    async def run(log: Log, redactor: Redactor) -> None:
        await run_node(env, config, log=log, redactor=redactor)

    return run_service(run, "node", level=config.log_level, style=config.log_format, now_ms=env.now_ms)
