/* A stand-in for NVML with two GPUs, built by the test that uses it. The second one tells an Xid whose number the file
 * $NVML_FOLDER/xid has, once; both have as many uncorrected errors as $NVML_FOLDER/uncorrected says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef struct { int index; } gpu_t;
typedef gpu_t *nvmlDevice_t;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } nvmlMemory_v2_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct {
    nvmlDevice_t device;
    unsigned long long eventType, eventData;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlEventData_t;

enum { SUCCESS = 0, TIMEOUT = 10, XID_CRITICAL = 8 };

static gpu_t gpus[2] = {{0}, {1}};

/* The number in a file of the folder; with `take` the file is gone afterwards. -1: there is none. */
static long number(const char *name, int take) {
    char path[4096];
    long value = -1;
    const char *folder = getenv("NVML_FOLDER");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : ".", name);
    FILE *file = fopen(path, "r");
    if (!file) return -1;
    if (fscanf(file, "%ld", &value) != 1) value = -1;
    fclose(file);
    if (take && value >= 0) unlink(path);
    return value;
}

nvmlReturn_t nvmlInit_v2(void) { return SUCCESS; }
nvmlReturn_t nvmlShutdown(void) { return SUCCESS; }
nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    snprintf(version, length, "580.65.06");
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return SUCCESS; }
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) { *device = &gpus[index]; return SUCCESS; }
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
    snprintf(uuid, length, "GPU-%d%d%d%d", device->index, device->index, device->index, device->index);
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
    (void)device;
    snprintf(name, length, "Stand-in");
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    memory->total = 1000ull << 20;
    memory->reserved = 0;
    memory->used = (100ull + device->index) << 20;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
    (void)device;
    rates->gpu = 42;
    rates->memory = 7;
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned int *degrees) {
    (void)device, (void)sensor;
    *degrees = 61;
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, int type, int counter, unsigned long long *errors) {
    (void)device, (void)type, (void)counter;
    long found = number("uncorrected", 0);
    *errors = found < 0 ? 0 : found;
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons) {
    (void)device;
    *reasons = 4; /* SwPowerCap */
    return SUCCESS;
}
nvmlReturn_t nvmlEventSetCreate(void **set) { *set = gpus; return SUCCESS; }
nvmlReturn_t nvmlEventSetFree(void *set) { (void)set; return SUCCESS; }
nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, void *set) {
    (void)device, (void)types, (void)set;
    return SUCCESS;
}
nvmlReturn_t nvmlEventSetWait_v2(void *set, nvmlEventData_t *data, unsigned int milliseconds) {
    (void)set;
    for (unsigned int waited = 0; waited < milliseconds; waited += 10) {
        long xid = number("xid", 1);
        if (xid >= 0) {
            memset(data, 0, sizeof *data);
            data->device = &gpus[1];
            data->eventType = XID_CRITICAL;
            data->eventData = xid;
            return SUCCESS;
        }
        usleep(10 * 1000);
    }
    return TIMEOUT;
}
