/* A libcuda.so.1 without a GPU: the ten functions that libmxnet.so of mxnet-cu112 1.9.1 names, and three that the CUDA
   runtime begins with. With them alone it was imported, with the libraries of setup.py's extra cu112, and ran a network
   on the CPU; what else the runtime looks for, by dlsym, it can do without. */
#define NO_DEVICE 100       /* CUDA_ERROR_NO_DEVICE */
#define NONE(name) int name(void) { return NO_DEVICE; }

int cuDriverGetVersion(int *version) { *version = 11080; return 0; }
int cuGetErrorString(int error, const char **text) { (void)error; *text = "a driver without a GPU"; return 0; }
NONE(cuInit)
NONE(cuDeviceGetCount)
/* libmxnet.so names these and cuGetErrorString. */
NONE(cuDeviceGet)
NONE(cuDevicePrimaryCtxRetain)
NONE(cuGraphKernelNodeGetParams)
NONE(cuGraphNodeGetType)
NONE(cuLaunchKernel)
NONE(cuModuleGetFunction)
NONE(cuModuleLoadData)
NONE(cuModuleLoadDataEx)
NONE(cuModuleUnload)
