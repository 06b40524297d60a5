"""The names that MindIR gives to the operators that several files ask for."""

BATCH_NORMS = ("BatchNorm", "BatchNormExt")
CONVOLUTIONS = ("Conv2D", "Conv2DExt", "Conv2DPadding", "Conv3D")
TRANSPOSED = ("Conv2DTranspose", "Conv2DBackpropInput", "Conv3DTranspose")
DENSE = ("MatMul", "BatchMatMul", "MatMulExt", "Dense")
LOOKUPS = ("Gather", "GatherV2")
WRITES = ("Assign", "AssignAdd", "AssignSub", "InplaceCopy")
STEEP = ("Sqrt", "Hypot", "Atan2", "Angle", "CumProd")  # they have no finite slope at zero
