"""Two knowledge bases, and a router that chooses between them: no key, no server, no language model.

python examples/ten_lines.py
"""

import tempfile

from kb_tools import Catalog, Passage, Table
from router_graph import create_router

with tempfile.TemporaryDirectory() as folder, Catalog(folder) as catalog:
    handbook = catalog.create("handbook", description="The staff handbook: leave, travel and expenses.")
    handbook.add(Passage(id="leave", title="Leave", text="Everybody has 30 days of leave a year. Ask for it in Tempo."))
    plans = catalog.create("plans", description="What our plans cost, with their limits.", modality="table")
    rows = [["Free", "0", "1"], ["Team", "12", "20"], ["Company", "40", "500"]]
    plans.add(Table(id="plans", title="Our plans", header=["plan", "USD a month", "seats"], rows=rows))
    router = create_router([handbook, plans])
    for question in ("How many days of leave does everybody have?", "How many seats does the Team plan have?"):
        print(question, "->", router.invoke({"question": question})["answer"])
