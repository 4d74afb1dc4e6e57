"""From files to batches: images, captions, panoramas, and the samples the methods train on."""
