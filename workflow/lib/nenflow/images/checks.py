from nenflow.images.quality import check_mask

__all__ = ["check_mask"]
