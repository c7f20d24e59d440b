"""Files and folders to documents, and a knowledge base kept in step with them.

from kb_tools.loaders import load

print(load(kb, ["handbook/", "notes.md"]))
"""

from kb_tools.loaders.files import FoundFile, find_files
from kb_tools.loaders.modality import infer_modality
from kb_tools.loaders.progress import progress_bar
from kb_tools.loaders.read import read_file
from kb_tools.loaders.sync import LoadReport, load

__all__ = ["FoundFile", "LoadReport", "find_files", "infer_modality", "load", "progress_bar", "read_file"]
