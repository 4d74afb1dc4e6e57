"""Levin's matting Laplacian by definition: a dense matrix, window by window and pixel by pixel."""

import numpy as np


def plain_laplacian(image: np.ndarray, epsilon: float) -> np.ndarray:
    """[pixels, pixels] of an image [height, width, 3] on the sphere (Levin et al. 2008, equation 12)."""
    height, width, _ = image.shape
    matrix = np.zeros((height * width, height * width))
    cosines = np.cos((0.5 - (np.arange(height) + 0.5) / height) * np.pi)
    for row in range(height):
        for column in range(width):
            numbers = []
            for down in (row - 1, row, row + 1):
                for across in (column - 1, column, column + 1):
                    at, turned = down, across
                    if down < 0 or down >= height:
                        at, turned = (0 if down < 0 else height - 1), across + width // 2
                    numbers.append(at * width + turned % width)
            colours = image.reshape(-1, 3)[numbers]
            centred = colours - colours.mean(0)
            inverse = np.linalg.inv(centred.T @ centred / 9 + epsilon / 9 * np.eye(3))
            own = np.eye(9) - (1 + centred @ inverse @ centred.T) / 9
            matrix[np.ix_(numbers, numbers)] += own * cosines[row] / cosines.mean()
    return matrix
