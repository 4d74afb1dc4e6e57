"""Files: pictures, light, captions and tables read and written, bounded and whole."""
