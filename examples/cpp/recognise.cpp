// Names the face in a picture with a bundle of EdgeFace, through LiteRT's C API. Build and run, from this folder:
//
//   LITERT=$(python -c "import ai_edge_litert, os; print(os.path.dirname(ai_edge_litert.__file__))")
//   g++ -std=c++17 -O2 recognise.cpp -o recognise -L$LITERT -l:libLiteRt.so -Wl,-rpath,$LITERT
//   ./recognise ../../bundles/door face.ppm
//
// face.ppm is the prepared face: binary PPM (P6), RGB, exactly as large as the network's input. Check the bundle first
// (edgeface verify-bundle, or sha256sum against bundle.json): a damaged model can crash the runtime.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "litert_c_api.h"

[[noreturn]] static void fail(const std::string& reason) {
  std::fprintf(stderr, "error: %s\n", reason.c_str());
  std::exit(2);
}

static void check(LiteRtStatus status, const char* what) {
  if (status != 0) fail(std::string(what) + " failed, status " + std::to_string(status));
}

static std::vector<unsigned char> read_ppm(const std::string& path, int size) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  int width = 0, height = 0, largest = 0;
  file >> magic >> width >> height >> largest;
  file.get();
  if (!file || magic != "P6" || width != size || height != size || largest != 255)
    fail(path + ": give a P6 picture of " + std::to_string(size) + "x" + std::to_string(size) + " with 255 levels");
  std::vector<unsigned char> pixels(3u * size * size);
  if (!file.read(reinterpret_cast<char*>(pixels.data()), pixels.size())) fail(path + ": is cut short");
  return pixels;
}

static void value_range(const std::string& bundle, float& low, float& high) {
  std::ifstream file(bundle + "/bundle.json");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t place = text.find("\"value_range\"");
  if (place == std::string::npos || std::sscanf(text.c_str() + place, "\"value_range\": [ %f , %f", &low, &high) != 2)
    fail(bundle + "/bundle.json: has no value_range");
}

static LiteRtQuantizationPerTensor quantization_of(LiteRtTensor tensor) {
  LiteRtQuantizationPerTensor quantization{1.0f, 0};
  check(LiteRtGetPerTensorQuantization(tensor, &quantization), "reading the quantization");
  return quantization;
}

static void fill(void* memory, LiteRtTensor tensor, int element_type, const std::vector<unsigned char>& pixels,
                 float low, float high) {
  const float step = (high - low) / 255.0f;
  if (element_type == 1) {
    for (size_t i = 0; i < pixels.size(); ++i) static_cast<float*>(memory)[i] = pixels[i] * step + low;
    return;
  }
  const LiteRtQuantizationPerTensor q = quantization_of(tensor);
  for (size_t i = 0; i < pixels.size(); ++i) {
    const float value = std::nearbyint((pixels[i] * step + low) / q.scale) + static_cast<float>(q.zero_point);
    static_cast<int8_t*>(memory)[i] = static_cast<int8_t>(std::clamp(value, -128.0f, 127.0f));
  }
}

int main(int count, char** arguments) {
  if (count != 3) fail("usage: recognise BUNDLE FACE.ppm");
  const std::string bundle = arguments[1];
  LiteRtEnvironment environment;
  LiteRtModel model;
  LiteRtOptions options;
  LiteRtCompiledModel compiled;
  check(LiteRtCreateEnvironment(0, nullptr, &environment), "starting LiteRT");
  check(LiteRtCreateModelFromFile(environment, (bundle + "/model.tflite").c_str(), &model), "loading the model");
  check(LiteRtCreateOptions(&options), "making options");
  check(LiteRtSetOptionsHardwareAccelerators(options, 1), "choosing the CPU");
  check(LiteRtCreateCompiledModel(environment, model, options, &compiled), "preparing the model");

  size_t number = 0, signatures = 0;
  LiteRtSignature signature = nullptr;
  check(LiteRtGetNumModelSignatures(model, &signatures), "counting signatures");
  for (; number < signatures; ++number) {
    const char* key = "";
    check(LiteRtGetModelSignature(model, number, &signature), "reading a signature");
    check(LiteRtGetSignatureKey(signature, &key), "reading a signature's name");
    if (std::string(key) == "classify") break;
  }
  if (number == signatures) fail(bundle + ": the model has no signature classify");

  LiteRtTensor input;
  LiteRtRankedTensorType in{};
  LiteRtTensorBufferRequirements needs;
  LiteRtTensorBuffer from;
  check(LiteRtGetSignatureInputTensorByIndex(signature, 0, &input), "finding the input");
  check(LiteRtGetRankedTensorType(input, &in), "reading the input's type");
  check(LiteRtGetCompiledModelInputBufferRequirements(compiled, number, 0, &needs), "asking for the input");
  check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &in, needs, &from), "making the input");

  // The signature names both outputs of its graph, the logits and the embedding.
  size_t outputs = 0, logits_place = 0;
  check(LiteRtGetNumSignatureOutputs(signature, &outputs), "counting outputs");
  std::vector<LiteRtTensor> tensors(outputs);
  std::vector<LiteRtRankedTensorType> types(outputs);
  std::vector<LiteRtTensorBuffer> to(outputs);
  for (size_t i = 0; i < outputs; ++i) {
    const char* name = "";
    check(LiteRtGetSignatureOutputName(signature, i, &name), "reading an output's name");
    if (std::string(name) == "logits") logits_place = i;
    check(LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensors[i]), "finding an output");
    check(LiteRtGetRankedTensorType(tensors[i], &types[i]), "reading an output's type");
    check(LiteRtGetCompiledModelOutputBufferRequirements(compiled, number, i, &needs), "asking for an output");
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &types[i], needs, &to[i]), "making an output");
  }

  float low, high;
  value_range(bundle, low, high);
  const std::vector<unsigned char> pixels = read_ppm(arguments[2], in.dimensions[1]);
  void* memory;
  check(LiteRtLockTensorBuffer(from, &memory, 1), "writing the input");
  fill(memory, input, in.element_type, pixels, low, high);
  check(LiteRtUnlockTensorBuffer(from), "writing the input");
  check(LiteRtRunCompiledModel(compiled, number, 1, &from, outputs, to.data()), "running the model");

  check(LiteRtLockTensorBuffer(to[logits_place], &memory, 0), "reading the output");
  const LiteRtRankedTensorType& out = types[logits_place];
  std::vector<float> logits(out.dimensions[1]);
  LiteRtQuantizationPerTensor q{};
  if (out.element_type != 1) q = quantization_of(tensors[logits_place]);
  for (size_t i = 0; i < logits.size(); ++i)
    logits[i] = out.element_type == 1 ? static_cast<float*>(memory)[i]
                                      : (static_cast<int8_t*>(memory)[i] - q.zero_point) * q.scale;
  const size_t best = std::max_element(logits.begin(), logits.end()) - logits.begin();
  std::ifstream labels(bundle + "/labels.txt");
  std::string label;
  for (size_t i = 0; i <= best && std::getline(labels, label); ++i) continue;
  std::printf("%s %.6g\n", label.c_str(), logits[best]);
}
