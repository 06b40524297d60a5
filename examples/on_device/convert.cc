// Converts an ONNX file for MindSpore Lite.
//
//   convert 2 NET.onnx OUT FORMAT [CONFIG]     FORMAT 0: OUT.mindir, Lite's own MindIR; 1: OUT.ms, for devices
//
// The first number is the kind of the input file: 2 is ONNX. CONFIG is a file of the converter's own settings, such as
// those for quantisation; see README.md.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "include/api/status.h"
#include "include/api/types.h"

// The wheel has the converter's library but not its header. These are the parts of its interface that are used here.
namespace mindspore {
namespace converter {
enum FmkType : int { kOnnx = 2 };
}  // namespace converter
struct ConverterPara;
class Converter {
 public:
  Converter();
  void SetSaveType(ModelType type);
  void SetConfigFile(const std::vector<char> &path);
  Status Convert(converter::FmkType kind, const std::vector<char> &model, const std::vector<char> &output,
                 const std::vector<char> &weights);

 private:
  std::shared_ptr<ConverterPara> data_;
};
}  // namespace mindspore

namespace {
std::vector<char> Characters(const std::string &text) { return {text.begin(), text.end()}; }
}  // namespace

int main(int argc, char **argv) {
  if (argc != 5 && argc != 6) {
    std::fprintf(stderr, "usage: convert 2 NET.onnx OUT FORMAT [CONFIG]\n");
    return 2;
  }
  mindspore::Converter converter;
  converter.SetSaveType(std::atoi(argv[4]) == 1 ? mindspore::kMindIR_Lite : mindspore::kMindIR);
  if (argc == 6) converter.SetConfigFile(Characters(argv[5]));
  const auto status = converter.Convert(static_cast<mindspore::converter::FmkType>(std::atoi(argv[1])),
                                        Characters(argv[2]), Characters(argv[3]), {});
  if (!status.IsOk()) std::fprintf(stderr, "%s cannot be converted: %s\n", argv[2], status.ToString().c_str());
  return status.IsOk() ? 0 : 1;
}
