"""The studio: a service that paints panoramas of requests over HTTP and loses nothing, and its page."""
