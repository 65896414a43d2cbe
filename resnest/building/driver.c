/* A libcuda.so.1 without a GPU: what libmxnet.so of mxnet-cu112 1.9.1 and the CUDA runtime ask of NVIDIA's driver when
   mxnet is imported and runs on the CPU. Every call but those for versions says that there is no device. */
#define NO_DEVICE 100       /* CUDA_ERROR_NO_DEVICE */
#define NONE(name) int name(void) { return NO_DEVICE; }

int cuDriverGetVersion(int *version) { *version = 11080; return 0; }
int cuGetErrorString(int error, const char **text) { (void)error; *text = "a driver without a GPU"; return 0; }
NONE(cuInit)
NONE(cuDeviceGetCount)
/* The ten that libmxnet.so names are these and cuGetErrorString. */
NONE(cuDeviceGet)
NONE(cuDevicePrimaryCtxRetain)
NONE(cuGraphKernelNodeGetParams)
NONE(cuGraphNodeGetType)
NONE(cuLaunchKernel)
NONE(cuModuleGetFunction)
NONE(cuModuleLoadData)
NONE(cuModuleLoadDataEx)
NONE(cuModuleUnload)
