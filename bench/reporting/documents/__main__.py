import sys

from bench.reporting import documents

if "--site" in sys.argv[1:]:
    documents.site()
else:
    for document in documents.DOCUMENTS:
        document.write_text(documents.filled(document.read_text()))
