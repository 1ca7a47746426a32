"""The report: tables, verdict and the HTML page from the collected results."""
