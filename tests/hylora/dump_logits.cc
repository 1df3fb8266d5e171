// The server's own logits of a text under each policy, for the training forward to be held against.
//
//   dump_logits MODEL_FOLDER IDS_FILE APPENDED STRIDE OUT_FOLDER
//
// Of the ids (decimal, one a line) the first APPENDED come in one append, the rest one by one.
// OUT_FOLDER/{SE_ATTN,FULL,WINDOW}.f32 get every STRIDE-th row of the append, then every later
// row: float32, vocabulary numbers a row.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "glog/logging.h"
#include "tests/conformance/model_runner.h"

namespace eidetic {
namespace {

using memory::AttentionPolicy;
using memory::SpanSettings;
using memory::TokenId;

std::vector<TokenId> ReadIds(const std::string& path) {
  std::ifstream file(path);
  CHECK(file.good()) << path;
  std::vector<TokenId> ids;
  for (TokenId id; file >> id;) ids.push_back(id);
  return ids;
}

void WriteRow(std::ofstream* out, const std::vector<float>& row) {
  out->write(reinterpret_cast<const char*>(row.data()),
             static_cast<std::streamsize>(row.size() * sizeof(float)));
}

void Dump(ModelRunner* runner, AttentionPolicy policy, std::span<const TokenId> ids,
          size_t appended, size_t stride, const std::filesystem::path& path) {
  SpanSettings settings;
  settings.policy = policy;
  TestSession session = runner->NewSession(settings);
  std::ofstream out(path, std::ios::binary);
  const std::vector<std::vector<float>> rows = runner->Append(&session, ids.first(appended));
  for (size_t i = 0; i < rows.size(); i += stride) WriteRow(&out, rows[i]);
  for (size_t i = appended; i < ids.size(); ++i) {
    for (const auto& row : runner->Append(&session, ids.subspan(i, 1))) WriteRow(&out, row);
  }
  CHECK(out.good()) << path;
}

int Main(int argc, char** argv) {
  CHECK_EQ(argc, 6) << "dump_logits MODEL_FOLDER IDS_FILE APPENDED STRIDE OUT_FOLDER";
  const std::vector<TokenId> ids = ReadIds(argv[2]);
  size_t appended = 0, stride = 0;
  CHECK(absl::SimpleAtoi(argv[3], &appended) && appended <= ids.size());
  CHECK(absl::SimpleAtoi(argv[4], &stride) && stride > 0);
  const std::filesystem::path out = argv[5];
  ModelRunner runner(argv[1]);
  Dump(&runner, AttentionPolicy::kSeAttn, ids, appended, stride, out / "SE_ATTN.f32");
  Dump(&runner, AttentionPolicy::kFull, ids, appended, stride, out / "FULL.f32");
  Dump(&runner, AttentionPolicy::kWindow, ids, appended, stride, out / "WINDOW.f32");
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace eidetic

int main(int argc, char** argv) { return eidetic::Main(argc, argv); }
