"""From display values to light: networks that extend the range, what finishes their output, lit spheres."""
