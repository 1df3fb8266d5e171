// The option that libFuzzer's main has not: `fuzz_TARGET --write-seeds=FOLDER`.
#include <glog/logging.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/fuzz/fuzz_target.h"

// libFuzzer calls it before all else, if it is there.
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view kOption = "--write-seeds=";
  if (*argc != 2 || !std::string_view((*argv)[1]).starts_with(kOption)) return 0;
  const std::filesystem::path folder = (*argv)[1] + kOption.size();
  std::filesystem::create_directories(folder);
  int number = 0;
  for (const std::string& seed : eidetic::fuzz::Seeds()) {
    std::ofstream out(folder / ("seed-" + std::to_string(number++)), std::ios::binary);
    out << seed;
    out.close();
    CHECK(out) << folder;
  }
  std::exit(0);
}
