"""From a request to a finished panorama: inputs, plan, journal, results."""
