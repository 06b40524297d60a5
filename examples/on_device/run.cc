// Runs a network on the device: loads the file, computes one output, compares it, and says how long it takes.
//
//   run NET.ms INPUT.bin OUTPUT.bin THREADS REPEATS [EXPECTED.bin]
//
// INPUT.bin, OUTPUT.bin and EXPECTED.bin are raw float32, all outputs one after the other. A .ms file takes images with
// the channels last.
// Exit code 0: it ran, and differs from EXPECTED by at most 1e-5 of its largest value. 1: it did not.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "include/api/context.h"
#include "include/api/model.h"

namespace {

std::vector<float> ReadFloats(const std::string &path, size_t count) {
  std::vector<float> values(count);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char *>(values.data()), static_cast<std::streamsize>(count * sizeof(float)));
  if (static_cast<size_t>(file.gcount()) != count * sizeof(float)) {
    std::fprintf(stderr, "%s must hold %zu numbers of four bytes\n", path.c_str(), count);
    std::exit(1);
  }
  return values;
}

double MedianMilliseconds(mindspore::Model *model, const std::vector<mindspore::MSTensor> &inputs, int repeats) {
  std::vector<double> times;
  std::vector<mindspore::MSTensor> outputs;
  for (int i = 0; i < repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    model->Predict(inputs, &outputs);
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

double WorstDifference(const std::vector<float> &got, const std::vector<float> &expected) {
  double worst = 0, largest = 1e-12;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(got[i])) return INFINITY;
    worst = std::max(worst, std::fabs(static_cast<double>(got[i]) - expected[i]));
    largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
  }
  return worst / largest;
}

// Peak memory of this process in megabytes; -1 where the system does not say.
long PeakMegabytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  long kilobytes = -1024;
  while (status >> word) {
    if (word == "VmHWM:") status >> kilobytes;
  }
  return kilobytes / 1024;
}

int Fail(const std::string &what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  return 1;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc < 6) return Fail("usage: run NET.ms INPUT.bin OUTPUT.bin THREADS REPEATS [EXPECTED.bin]");
  const std::string net = argv[1];
  auto context = std::make_shared<mindspore::Context>();
  context->SetThreadNum(std::atoi(argv[4]));
  context->MutableDeviceInfo().push_back(std::make_shared<mindspore::CPUDeviceInfo>());
  const bool device_format = net.size() > 3 && net.substr(net.size() - 3) == ".ms";
  mindspore::Model model;
  auto status = model.Build(net, device_format ? mindspore::kMindIR_Lite : mindspore::kMindIR, context);
  if (!status.IsOk()) return Fail("the network cannot be loaded: " + status.ToString());

  auto inputs = model.GetInputs();
  const auto image = ReadFloats(argv[2], inputs[0].DataSize() / sizeof(float));
  std::copy(image.begin(), image.end(), static_cast<float *>(inputs[0].MutableData()));
  std::vector<mindspore::MSTensor> outputs;
  status = model.Predict(inputs, &outputs);
  if (!status.IsOk()) return Fail("the network cannot be run: " + status.ToString());
  std::vector<float> got;
  for (auto &output : outputs) {
    const auto *values = static_cast<const float *>(output.Data().get());
    got.insert(got.end(), values, values + output.DataSize() / sizeof(float));
  }
  std::ofstream(argv[3], std::ios::binary).write(reinterpret_cast<const char *>(got.data()),
                                                 static_cast<std::streamsize>(got.size() * sizeof(float)));
  std::printf("input");
  for (const auto size : inputs[0].Shape()) std::printf(" %ld", static_cast<long>(size));
  std::printf("\n");
  const int repeats = std::atoi(argv[5]);
  if (repeats > 0) std::printf("median ms %.4f\n", MedianMilliseconds(&model, inputs, repeats));
  std::printf("peak MB %ld\n", PeakMegabytes());
  if (argc > 6) {
    const double difference = WorstDifference(got, ReadFloats(argv[6], got.size()));
    std::printf("difference %.2e\n", difference);
    if (!(difference <= 1e-5)) return Fail("the output differs from the expected one by " + std::to_string(difference));
  }
  return 0;
}
