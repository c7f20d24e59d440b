"""The LangChain side of a knowledge base: `KBRetriever`, `kb_tool`, `sql_tool` and `KBVectorStore`."""

from __future__ import annotations

from kb_tools.langchain.retriever import KBRetriever
from kb_tools.langchain.search_tool import kb_tool
from kb_tools.langchain.sql_tool import sql_tool
from kb_tools.langchain.vectorstore import KBVectorStore

__all__ = ["KBRetriever", "KBVectorStore", "kb_tool", "sql_tool"]
