"""Files in, arrays out: caption files, pictures and grid features. Needs NumPy, Pillow and h5py, never torch."""
