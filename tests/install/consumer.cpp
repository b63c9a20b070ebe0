// consumer.cpp: the header serves C++, and the installed version is the header's.
#include <cstdio>
#include <cstring>

#include <quiver/quiver.h>

int main()
{
    if (std::strcmp(qv_version(), QV_VERSION) != 0) {
        std::printf("library %s, header %s\n", qv_version(), QV_VERSION);
        return 1;
    }
    qv_db *db = nullptr;
    qv_err err = {};
    qv_options options = QV_OPTIONS_INIT;
    if (qv_open("/dev/null/quiver", &options, &db, &err) == QV_OK || db != nullptr || err.message[0] == '\0') {
        std::printf("opening a folder that cannot be made should fail and say so\n");
        return 1;
    }
    return 0;
}
