"""Where every pixel looks: cameras, panoramas, cubemaps and the plans that cover the sphere."""
