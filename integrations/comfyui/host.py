"""What the nodes need of ComfyUI besides its node classes: a progress bar, the cancel button, the output folder."""

from pathlib import Path

from aognet.callbacks import Cancelled, Listener


def listener() -> Listener:
    """Return what shows progress on the node that runs, and hears of the cancel button."""
    import comfy.model_management
    import comfy.utils

    bar = comfy.utils.ProgressBar(1)
    return Listener(
        lambda stage, done, total: bar.update_absolute(done, total), comfy.model_management.processing_interrupted
    )


def interrupted(error: Cancelled) -> BaseException:
    """Return the exception by which ComfyUI knows that its user cancelled."""
    import comfy.model_management

    return comfy.model_management.InterruptProcessingException(str(error))


def output_path(prefix: str, width: int, height: int) -> tuple[Path, str, str, int]:
    """Return the folder, its name below the output folder, the stem and the next free number of files to save."""
    import folder_paths

    place = folder_paths.get_save_image_path(prefix, folder_paths.get_output_directory(), width, height)
    folder, stem, number, subfolder, _ = place
    return Path(folder), subfolder, stem, number
