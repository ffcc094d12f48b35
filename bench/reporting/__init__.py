"""Tables, figures and the page, from studies' saved rows and scores. Never loads torch."""
