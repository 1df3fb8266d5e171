// Clients that read many answers at once, with few threads.
//
// What: a thread and a connection for each part of the streams; the thread reads all of its part
//   as their messages come, as a backend that calls the API would. Also as a process of its own, so
//   that the server under measurement has its process to itself.
// Thread safety: none. Ownership: a ClientProcess owns its process and ends it. Preconditions: the
//   server is there until they go; what fails is CHECKed.
#ifndef EIDETIC_TESTS_BENCH_STREAM_CLIENTS_H_
#define EIDETIC_TESTS_BENCH_STREAM_CLIENTS_H_

#include <sys/types.h>

#include <cstdint>
#include <cstdio>
#include <string>

namespace eidetic::bench {

struct StreamOptions {
  std::string address;
  int32_t connections = 4;
  // Of each stream.
  int32_t streams = 64, tokens = 256, prompt_tokens = 32;
  float temperature = 0;
};

// The process's part: connects and says so; whenever it is told how many tokens a message may
// carry, it reads one answer a stream and tells the messages that it took; until standard input
// ends.
void ServeAsClients(const StreamOptions& options);

class ClientProcess {
 public:
  // Starts this binary, whose main calls ServeAsClients; returns when it is connected.
  explicit ClientProcess(const StreamOptions& options);
  ~ClientProcess();
  ClientProcess(const ClientProcess&) = delete;
  ClientProcess& operator=(const ClientProcess&) = delete;

  // Messages with tokens that all answers came in.
  int64_t Run(int32_t message_tokens);

 private:
  pid_t process_ = 0;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
};

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_STREAM_CLIENTS_H_
