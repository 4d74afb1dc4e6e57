"""From what is asked for to a painted panorama: inputs, plan, journal, results."""
