"""The geometry of the sphere: cameras, panoramas, cubemaps and the plans that cover the sphere with views."""
