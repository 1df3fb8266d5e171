// The server's own logits of a text under each policy, for the training forward to be held against.
//
//   dump_logits MODEL_FOLDER IDS_FILE APPENDED STRIDE OUT_FOLDER [ADAPTER_FOLDER]
//
// Of the ids (decimal, one a line) the first APPENDED come in one append, the rest one by one.
// OUT_FOLDER/{SE_ATTN,FULL,WINDOW}.f32 get every STRIDE-th row of the append, then every later
// row: float32, vocabulary numbers a row.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
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

struct Text {
  std::vector<TokenId> ids;
  size_t appended = 0, stride = 0;
  std::shared_ptr<const ModelAdapter> adapter;  // null: the base
};

void Dump(ModelRunner* runner, AttentionPolicy policy, const Text& text,
          const std::filesystem::path& path) {
  SpanSettings settings;
  settings.policy = policy;
  TestSession session = runner->NewSession(settings);
  session.adapter = text.adapter;
  std::ofstream out(path, std::ios::binary);
  const std::span<const TokenId> ids = text.ids;
  const std::vector<std::vector<float>> rows = runner->Append(&session, ids.first(text.appended));
  for (size_t i = 0; i < rows.size(); i += text.stride) WriteRow(&out, rows[i]);
  for (size_t i = text.appended; i < ids.size(); ++i) {
    for (const auto& row : runner->Append(&session, ids.subspan(i, 1))) WriteRow(&out, row);
  }
  CHECK(out.good()) << path;
}

int Main(int argc, char** argv) {
  CHECK(argc == 6 || argc == 7)
      << "dump_logits MODEL_FOLDER IDS_FILE APPENDED STRIDE OUT_FOLDER [ADAPTER_FOLDER]";
  ModelRunner runner(argv[1]);
  Text text = {.ids = ReadIds(argv[2]), .adapter = {}};
  CHECK(absl::SimpleAtoi(argv[3], &text.appended) && text.appended <= text.ids.size());
  CHECK(absl::SimpleAtoi(argv[4], &text.stride) && text.stride > 0);
  const std::filesystem::path out = argv[5];
  if (argc == 7) text.adapter = runner.LoadAdapter(argv[6]);
  Dump(&runner, AttentionPolicy::kSeAttn, text, out / "SE_ATTN.f32");
  Dump(&runner, AttentionPolicy::kFull, text, out / "FULL.f32");
  Dump(&runner, AttentionPolicy::kWindow, text, out / "WINDOW.f32");
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace eidetic

int main(int argc, char** argv) { return eidetic::Main(argc, argv); }
