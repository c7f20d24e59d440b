"""A knowledge base as LangChain knows things: retriever, tools, vector store. The door is `kb_tools.tools`."""
