// A folder of a fuzz target's own, for parsers that read files.
//
// Thread safety: thread-compatible. Ownership: removes the folder at its end. Preconditions: none.
#ifndef EIDETIC_TESTS_FUZZ_SCRATCH_FOLDER_H_
#define EIDETIC_TESTS_FUZZ_SCRATCH_FOLDER_H_

#include <fcntl.h>
#include <glog/logging.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace eidetic::fuzz {

class ScratchFolder {
 public:
  // In memory where there is a file system in memory.
  ScratchFolder() {
    std::error_code error;
    const bool shared = std::filesystem::is_directory("/dev/shm", error);
    std::string name = std::string(shared ? "/dev/shm" : "/tmp") + "/eidetic_fuzz.XXXXXX";
    PCHECK(mkdtemp(name.data()) != nullptr) << name;
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // The whole content of the file `name`.
  void Write(std::string_view name, std::string_view bytes) const {
    const std::string path = (path_ / name).string();
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    PCHECK(file >= 0) << path;
    PCHECK(write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())) << path;
    close(file);
  }

 private:
  std::filesystem::path path_;
};

}  // namespace eidetic::fuzz

#endif  // EIDETIC_TESTS_FUZZ_SCRATCH_FOLDER_H_
