/* MKL, which PyTorch's products use, takes its AVX-512 kernels only where this says that the maker is Intel: without it
 * PyTorch runs at a third of its speed on AMD's AVX-512 cores, and would be no peer. compare.py builds and preloads it. */
int mkl_serv_intel_cpu_true(void);
int mkl_serv_intel_cpu_true(void) {
  return 1;
}
