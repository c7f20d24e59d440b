"""Many models, one bill: model cards, transports, and the pool that calls them under a ledger.

Importing this loads neither LiteLLM nor torch; they come with the first call that needs them.
"""

from router_graph.pool.card import Measured, ModelCard, Privacy
from router_graph.pool.chat_model import PoolChatModel
from router_graph.pool.embeddings import MeteredEmbeddings
from router_graph.pool.live import Live
from router_graph.pool.pool import Messages, ModelPool
from router_graph.pool.pool_file import load_pool
from router_graph.pool.price import Price, Rates, Usage
from router_graph.pool.reply import Reply
from router_graph.pool.transport import Request, Transport
from router_graph.pool.transports.chat_model import ChatModelTransport
from router_graph.pool.transports.litellm import LiteLLMTransport
from router_graph.pool.transports.record import RecordTransport
from router_graph.pool.transports.replay import Coverage, ReplayTransport

__all__ = [
    "ChatModelTransport",
    "Coverage",
    "LiteLLMTransport",
    "Live",
    "Measured",
    "Messages",
    "MeteredEmbeddings",
    "ModelCard",
    "ModelPool",
    "PoolChatModel",
    "Price",
    "Privacy",
    "Rates",
    "RecordTransport",
    "ReplayTransport",
    "Reply",
    "Request",
    "Transport",
    "Usage",
    "load_pool",
]
